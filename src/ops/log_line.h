#pragma once

#include <chrono>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>

#include "core/log.h"

// How a log line looks, apart from where it goes.

namespace deja::ops {

struct LogEntry {
  std::chrono::system_clock::time_point time;
  core::Level level;
  std::string_view message;
  std::initializer_list<core::Field> fields;
};

std::string_view level_name(core::Level level);

/// RFC 3339 in UTC with milliseconds.
std::string rfc3339(std::chrono::system_clock::time_point time);

/// `TIME LEVEL message name=value name="a value"`. Control characters, quotes and backslashes are escaped; bytes that are no UTF-8
/// become U+FFFD. With its newline at most `limit` bytes; a cut line ends with `truncated=true`.
std::string text_line(const LogEntry& entry, std::size_t limit);

/// {"time", "level", "message", fields...}, with the same bound; a cut line has "truncated": true. A field that is named like
/// one of the three, or like an earlier one, gets a `_` at its end.
std::string json_line(const LogEntry& entry, std::size_t limit);

}  // namespace deja::ops
