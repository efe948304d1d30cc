#include "postgres/link_watch.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "postgres/connection.h"

namespace deja::postgres {

using std::chrono::milliseconds;

namespace {
constexpr int idle_sightings = 2;  // one may be an answer that is still on its way
constexpr std::size_t most_abandoned = 1000;
constexpr const char* ours = " and application_name = current_setting('application_name') and usename = session_user";

std::string list_of(const std::vector<int>& pids) {
  std::string list;
  for (const auto pid : pids) list += (list.empty() ? "" : ",") + std::to_string(pid);
  return list;
}
}  // namespace

LinkWatch::Entry::Entry(LinkWatch& watch, int socket, int backend_pid, bool asks)
    : watch_(watch), socket_(::fcntl(socket, F_DUPFD_CLOEXEC, 0)), backend_pid_(backend_pid), asks_(asks) {
  const std::lock_guard lock(watch_.mutex_);
  watch_.entries_.push_back(this);
}

LinkWatch::Entry::~Entry() {
  {
    const std::lock_guard lock(watch_.mutex_);
    watch_.entries_.remove(this);
    std::erase_if(watch_.suspects_, [&](const Suspect& s) { return s.entry == this; });
  }
  if (socket_ >= 0) ::close(socket_);
}

void LinkWatch::Entry::begin() {
  const std::lock_guard lock(watch_.mutex_);
  busy_ = true;
  asked_ = false;
  idle_seen_ = 0;
  ++statement_;
  quiet_since_ = Clock::now();
}

void LinkWatch::Entry::end() {
  const std::lock_guard lock(watch_.mutex_);
  busy_ = false;
}

LinkWatch::LinkWatch(const ConnectionOptions& options, Tell tell) : options_(options), tell_(std::move(tell)) {
  options_.watch = this;
  watcher_ = std::thread([this] { watch(); });
  asker_ = std::thread([this] { ask(); });
}

LinkWatch::~LinkWatch() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (auto* entry : entries_)
      if (entry->asks_) give_up(*entry);  // whoever asks need not wait for the answer
  }
  wake_.notify_all();
  wake_asker_.notify_all();
  watcher_.join();
  asker_.join();
}

void LinkWatch::give_up(Entry& entry) {
  if (entry.socket_ >= 0) ::shutdown(entry.socket_, SHUT_RDWR);
  entry.asked_ = true;
}

void LinkWatch::watch() {
  const auto look_every = std::clamp(options_.lost_after / 4, milliseconds(25), milliseconds(250));
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, look_every, [&] { return stopping_; })) {
    const auto silent_since = Entry::Clock::now() - options_.lost_after;
    for (auto* entry : entries_) {
      if (!entry->busy_ || entry->asked_ || entry->quiet_since_ > silent_since) continue;
      if (entry->asks_) {
        give_up(*entry);
      } else {
        entry->asked_ = true;
        suspects_.push_back({entry, entry->statement_, entry->backend_pid_});
      }
    }
    if (!suspects_.empty()) wake_asker_.notify_all();
  }
}

std::vector<LinkWatch::Suspect> LinkWatch::take_suspects() {
  std::unique_lock lock(mutex_);
  const auto something = [&] { return stopping_ || !suspects_.empty(); };
  if (abandoned_.empty()) wake_asker_.wait(lock, something);
  else wake_asker_.wait_for(lock, options_.lost_after / 4, something);
  // They stay listed while they are judged, so that a connection that ends meanwhile can take itself out.
  return suspects_;
}

void LinkWatch::ask() {
  for (;;) {
    const auto suspects = take_suspects();
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) break;
    }
    judge(suspects);
  }
  connection_.reset();
}

bool LinkWatch::still(const Suspect& suspect) const {
  return std::any_of(suspects_.begin(), suspects_.end(), [&](const Suspect& s) { return s.entry == suspect.entry; }) &&
         suspect.entry->busy_ && suspect.entry->statement_ == suspect.statement;
}

// Only sessions of this application and role, so that an idle one that is mistaken for another's is at worst one's own.
std::set<int> LinkWatch::working(const std::vector<Suspect>& suspects) {
  std::vector<int> pids;
  for (const auto& suspect : suspects) pids.push_back(suspect.backend_pid);
  std::set<int> found;
  if (pids.empty()) return found;
  for (const auto& row : connection_->exec("select pid from pg_stat_activity where state = 'active' and pid in (" + list_of(pids) + ")" + ours))
    found.insert(row[0].as<int>());
  return found;
}

// L10: only a backend of deja's own, whose client is given up, and only while it is idle in its transaction. Those that are still
// there are looked at again. A session that began later has only the number of the abandoned one.
std::set<int> LinkWatch::end_transactions(const std::vector<Abandoned>& abandoned) {
  std::set<int> left;
  if (abandoned.empty()) return left;
  std::string which;
  for (const auto& each : abandoned) {
    const auto age = std::chrono::duration_cast<milliseconds>(Entry::Clock::now() - each.since) + options_.lost_after / 4;
    which += (which.empty() ? "" : " or ") + ("(pid = " + std::to_string(each.backend_pid)) + " and backend_start < clock_timestamp() - interval '" +
             std::to_string(age.count()) + " ms')";
  }
  for (const auto& row : connection_->exec("select pid, case when state like 'idle in transaction%' then pg_terminate_backend(pid) end"
                                           " from pg_stat_activity where (" + which + ")" + ours))
    left.insert(row[0].as<int>());
  return left;
}

void LinkWatch::judge(const std::vector<Suspect>& suspects) {
  std::vector<Abandoned> abandoned;
  {
    const std::lock_guard lock(mutex_);
    abandoned = abandoned_;
  }
  std::set<int> busy, left;
  bool answered = false;
  try {
    if (!connection_ || connection_->broken()) {
      connection_.reset();
      connection_ = std::make_unique<Connection>(options_);
    }
    busy = working(suspects);
    left = end_transactions(abandoned);
    answered = true;
  } catch (const std::exception&) {
    connection_.reset();
  }
  int lost = 0;
  {
    const std::lock_guard lock(mutex_);
    if (answered) std::erase_if(abandoned_, [&](const Abandoned& a) { return !left.contains(a.backend_pid); });
    for (const auto& suspect : suspects) {
      if (!still(suspect)) continue;
      auto& entry = *suspect.entry;
      const auto now = Entry::Clock::now();
      if (answered && busy.contains(suspect.backend_pid)) {
        entry.asked_ = false;
        entry.idle_seen_ = 0;
        entry.quiet_since_ = now;
      } else if (answered && ++entry.idle_seen_ < idle_sightings) {
        entry.asked_ = false;
        entry.quiet_since_ = now - options_.lost_after + options_.lost_after / 4;
      } else {
        give_up(entry);
        if (abandoned_.size() < most_abandoned) abandoned_.push_back({entry.backend_pid_, now});
        ++lost;
      }
    }
    std::erase_if(suspects_, [&](const Suspect& s) {
      return std::any_of(suspects.begin(), suspects.end(), [&](const Suspect& done) { return done.entry == s.entry && done.statement == s.statement; });
    });
  }
  if (lost > 0) tell_(answered ? "Postgres waits for a statement that was sent: the link is dead" : "no answer from Postgres, over a new connection neither");
}

}  // namespace deja::postgres
