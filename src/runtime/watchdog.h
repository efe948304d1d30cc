#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/clock.h"

namespace deja::runtime {

class Watchdog;

/// The handler call that one worker is in. Written by the worker, read by the watchdog.
class CallInProgress {
 public:
  explicit CallInProgress(const Watchdog* watchdog = nullptr) : watchdog_(watchdog) {}
  /// What the calls from now on are for, in words.
  void of(std::string handler, std::string place);
  void begin(std::int64_t offset);
  void end();
  /// For how long the whole process has stood still since the begin of the last call. By the worker.
  std::chrono::milliseconds stood_still() const;

  /// Between its begin and its end, however that comes. `call` may be null.
  class Told {
   public:
    Told(CallInProgress* call, std::int64_t offset) : call_(call) {
      if (call_) call_->begin(offset);
    }
    ~Told() {
      if (call_) call_->end();
    }
    Told(const Told&) = delete;
    Told& operator=(const Told&) = delete;

   private:
    CallInProgress* call_;
  };

  struct Call {
    std::string handler, place;  // the place is topic/partition
    std::int64_t offset = 0;
    std::uint64_t number = 0;  // of this worker's calls
  };
  std::optional<Call> now() const;

 private:
  mutable std::mutex mutex_;
  Call call_;
  bool running_ = false;
  const Watchdog* watchdog_;
  std::chrono::milliseconds stood_still_before_{0};
};

/// Ends the process when a handler does not return (D5): nothing else can end a thread that hangs. The record that it hangs on is found
/// when it hangs again, alone (R1).
class Watchdog {
 public:
  /// `hangs` is called once, from the watchdog's thread, with the cause. It must not wait for the handler.
  Watchdog(std::chrono::milliseconds handler_timeout, const core::Clock& clock, std::function<void(std::string)> hangs);
  ~Watchdog() { stop(); }
  void start();
  void stop();
  /// For one worker, for as long as it lives.
  std::shared_ptr<CallInProgress> add();
  /// One look at all calls, which its thread takes four times in the time that a late handler is given. The cause, if one hangs. Time in
  /// which the whole process stood still shows as a look that comes late, and does not count.
  std::optional<std::string> look();
  /// How long, all in all, the process has stood still (SIGSTOP, a machine asleep) while handlers could not run. Any thread.
  std::chrono::milliseconds stood_still() const;
  /// The same as of the last look, which costs nothing: for the begin of each call.
  std::chrono::milliseconds stood_still_before() const { return std::chrono::milliseconds(stood_still_ms_.load(std::memory_order_relaxed)); }

 private:
  void run();
  std::chrono::milliseconds late_by(core::Steady::time_point now) const;

  struct Seen {
    std::weak_ptr<CallInProgress> call;
    std::uint64_t number = 0;
    std::chrono::milliseconds for_{0};
  };
  const std::chrono::milliseconds timeout_, grace_;
  const core::Clock& clock_;
  const std::function<void(std::string)> hangs_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Seen> calls_;
  std::optional<core::Steady::time_point> last_look_;  // while nobody looks, nothing is late
  std::atomic<std::int64_t> stood_still_ms_{0};
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace deja::runtime
