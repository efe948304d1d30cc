#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "postgres/connection_string.h"

// A link can be dead while the kernel believes in it: behind a load balancer, a tunnel or a sidecar, keepalives are answered by the
// machine in between. Then a statement waits for ever. This watch notices.

namespace deja::postgres {

class Connection;

/// Looks at connections whose statement got no answer for `lost_after`: asks over another connection whether Postgres still works on
/// it. If it does, the statement is slow and nothing happens. If it does not, or nobody answers, the socket is shut down, so that the
/// statement fails as on any lost link; a transaction that the lost session left open is ended, so that its locks do not outlive it.
/// Threading: its own two threads; entries belong to the thread that uses their connection.
class LinkWatch {
 public:
  using Tell = std::function<void(const std::string& what)>;
  /// `options`: how to ask; its lost_after is the bound.
  LinkWatch(const ConnectionOptions& options, Tell tell);
  ~LinkWatch();
  LinkWatch(const LinkWatch&) = delete;
  LinkWatch& operator=(const LinkWatch&) = delete;
  /// True for the options with which the watch itself asks.
  bool is_own(const ConnectionOptions& options) const { return &options == &options_; }

  /// One connection under watch, for as long as this lives. Must end before the LinkWatch does.
  class Entry {
   public:
    Entry(LinkWatch& watch, int socket, int backend_pid, bool asks);
    ~Entry();
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;
    /// A statement goes out; its answer is there.
    void begin();
    void end();

   private:
    friend class LinkWatch;
    using Clock = std::chrono::steady_clock;
    LinkWatch& watch_;
    const int socket_;  // a duplicate: what libpq closes meanwhile is not another's descriptor here
    const int backend_pid_;
    const bool asks_;   // the watch's own connection, about which nobody can be asked
    bool busy_ = false, asked_ = false;
    int idle_seen_ = 0;
    std::uint64_t statement_ = 0;
    Clock::time_point quiet_since_;
  };

 private:
  struct Suspect {
    Entry* entry;
    std::uint64_t statement;
    int backend_pid;
  };
  struct Abandoned {  // its link was given up; it may sit in an open transaction
    int backend_pid;
    Entry::Clock::time_point since;
  };
  void watch();
  void ask();
  std::set<int> working(const std::vector<Suspect>& suspects);
  std::set<int> end_transactions(const std::vector<Abandoned>& abandoned);
  std::vector<Suspect> take_suspects();
  void judge(const std::vector<Suspect>& suspects);
  bool still(const Suspect& suspect) const;
  void give_up(Entry& entry);

  ConnectionOptions options_;
  const Tell tell_;
  mutable std::mutex mutex_;
  std::condition_variable wake_, wake_asker_;
  std::list<Entry*> entries_;
  std::vector<Suspect> suspects_;
  std::vector<Abandoned> abandoned_;
  bool stopping_ = false;
  std::unique_ptr<Connection> connection_;  // the asker's
  std::thread watcher_, asker_;
};

}  // namespace deja::postgres
