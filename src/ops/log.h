#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/log.h"

namespace deja::ops {

enum class LogFormat { text, json };

/// The words of log.level and log.format; nothing for another word.
std::optional<core::Level> parse_log_level(std::string_view word);
std::optional<LogFormat> parse_log_format(std::string_view word);

struct LogOptions {
  core::Level level = core::Level::info;
  LogFormat format = LogFormat::text;
  int descriptor = 2;  ///< not closed by the log
  std::function<std::chrono::system_clock::time_point()> now = std::chrono::system_clock::now;
};

/// One line a message, by one write(2), at most max_line_bytes long (a longer one is cut and says so).
///
/// Of one message and level, max_repeats lines are written in repeat_window; the rest is counted, and a summary follows with the
/// first line after the window, or at destruction. When nobody reads the descriptor for write_patience, lines are dropped and
/// counted until it takes some again. A descriptor that is closed or broken is ignored, without SIGPIPE.
/// Threading: any thread. Never throws.
class StructuredLog final : public core::Log {
 public:
  static constexpr std::size_t max_line_bytes = 4096;  // no more than PIPE_BUF, so that a pipe takes a line whole or not at all
  static constexpr std::int64_t max_repeats = 50;
  static constexpr std::chrono::seconds repeat_window{10};
  static constexpr std::size_t max_messages = 512;  // told apart in a window; further ones share one count per level
  static constexpr std::chrono::milliseconds write_patience{100};

  explicit StructuredLog(LogOptions options);
  ~StructuredLog() override;
  StructuredLog(const StructuredLog&) = delete;
  StructuredLog& operator=(const StructuredLog&) = delete;

  bool enabled(core::Level level) const override;
  void write(core::Level level, std::string_view message, std::initializer_list<core::Field> fields) override;

 private:
  using Time = std::chrono::system_clock::time_point;
  struct Window {
    Time end;
    std::int64_t written = 0;
    std::int64_t suppressed = 0;
  };
  using MessageId = std::pair<core::Level, std::string>;

  bool admit(core::Level level, std::string_view message, Time now);
  void summarise(Time now, bool all);
  void emit(Time now, core::Level level, std::string_view message, std::initializer_list<core::Field> fields);
  std::string render(Time now, core::Level level, std::string_view message, std::initializer_list<core::Field> fields) const;
  void put(const std::string& line);

  const LogOptions options_;
  std::mutex mutex_;
  std::map<MessageId, Window> windows_;
  Time next_summary_ = Time::max();
  std::int64_t dropped_ = 0;
};

}  // namespace deja::ops
