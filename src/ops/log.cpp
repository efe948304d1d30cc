#include "ops/log.h"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <ctime>

#include "ops/log_line.h"

namespace deja::ops {
namespace {

// write(2) to a pipe whose reader is gone raises SIGPIPE, which would end the program for a lost log. Ignoring the signal for the
// whole process is not a library's business, so it is blocked here and taken back if this write raised it.
class NoSigpipe {
 public:
  NoSigpipe() {
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~NoSigpipe() {
    const timespec at_once{};
    while (!was_pending_ && broken_ && sigtimedwait(&pipe_, nullptr, &at_once) == -1 && errno == EINTR) {
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoSigpipe(const NoSigpipe&) = delete;
  NoSigpipe& operator=(const NoSigpipe&) = delete;
  void broken() { broken_ = true; }

 private:
  sigset_t pipe_{};
  sigset_t before_{};
  bool was_pending_ = false;
  bool broken_ = false;
};

// False when the reader does not keep up. Closed and broken descriptors count as writable: the write will say what is wrong.
bool takes_a_line(int descriptor, std::chrono::milliseconds patience) {
  pollfd waited{descriptor, POLLOUT, 0};
  int ready = 0;
  do {
    ready = poll(&waited, 1, static_cast<int>(patience.count()));
  } while (ready < 0 && errno == EINTR);
  return ready != 0;
}

}  // namespace

std::optional<core::Level> parse_log_level(std::string_view word) {
  for (const auto level : {core::Level::debug, core::Level::info, core::Level::warn, core::Level::error}) {
    if (word == level_name(level)) return level;
  }
  return std::nullopt;
}

std::optional<LogFormat> parse_log_format(std::string_view word) {
  if (word == "text") return LogFormat::text;
  if (word == "json") return LogFormat::json;
  return std::nullopt;
}

StructuredLog::StructuredLog(LogOptions options) : options_(std::move(options)) {}

StructuredLog::~StructuredLog() {
  try {
    summarise(options_.now(), true);
  } catch (...) {
    // A log that cannot be written is no reason to end a program.
  }
}

bool StructuredLog::enabled(core::Level level) const { return level >= options_.level; }

void StructuredLog::write(core::Level level, std::string_view message, std::initializer_list<core::Field> fields) {
  if (!enabled(level)) return;
  try {
    const Time now = options_.now();
    const std::lock_guard lock(mutex_);
    summarise(now, false);
    if (admit(level, message, now)) emit(now, level, message, fields);
  } catch (...) {
    // As above.
  }
}

bool StructuredLog::admit(core::Level level, std::string_view message, Time now) {
  MessageId id{level, message};
  auto found = windows_.find(id);
  if (found == windows_.end()) {
    if (windows_.size() >= max_messages) id.second = "(other messages)";
    found = windows_.try_emplace(id, Window{now + repeat_window}).first;
    next_summary_ = std::min(next_summary_, found->second.end);
  }
  Window& window = found->second;
  if (window.written == max_repeats) {
    ++window.suppressed;
    return false;
  }
  ++window.written;
  return true;
}

void StructuredLog::summarise(Time now, bool all) {
  // A clock that was set back would otherwise keep a window open until it caught up.
  const bool stepped_back = next_summary_ != Time::max() && next_summary_ > now + repeat_window;
  if (!all && !stepped_back && now < next_summary_) return;
  next_summary_ = Time::max();
  for (auto each = windows_.begin(); each != windows_.end();) {
    const auto& [id, window] = *each;
    if (!all && !stepped_back && window.end > now) {
      next_summary_ = std::min(next_summary_, window.end);
      ++each;
      continue;
    }
    if (window.suppressed > 0) {
      emit(now, id.first, "repeated log lines were suppressed",
           {{"repeated", id.second}, {"count", window.suppressed}, {"window_seconds", std::int64_t{repeat_window.count()}}});
    }
    each = windows_.erase(each);
  }
}

void StructuredLog::emit(Time now, core::Level level, std::string_view message, std::initializer_list<core::Field> fields) {
  constexpr std::chrono::milliseconds at_once{0};
  if (dropped_ > 0 && takes_a_line(options_.descriptor, at_once)) {
    put(render(now, core::Level::warn, "log lines were dropped because nobody read them", {{"count", std::exchange(dropped_, 0)}}));
  }
  // After the first drop nobody waits again, or a reader that hangs would slow every thread down by the patience.
  if (!takes_a_line(options_.descriptor, dropped_ > 0 ? at_once : write_patience)) {
    ++dropped_;
    return;
  }
  put(render(now, level, message, fields));
}

std::string StructuredLog::render(Time now, core::Level level, std::string_view message,
                                  std::initializer_list<core::Field> fields) const {
  const LogEntry entry{now, level, message, fields};
  return options_.format == LogFormat::json ? json_line(entry, max_line_bytes) : text_line(entry, max_line_bytes);
}

void StructuredLog::put(const std::string& line) {
  NoSigpipe guard;
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t written = ::write(options_.descriptor, rest.data(), rest.size());
    if (written > 0) {
      rest.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno != EINTR) {
      if (errno == EPIPE) guard.broken();
      return;
    }
  }
}

}  // namespace deja::ops
