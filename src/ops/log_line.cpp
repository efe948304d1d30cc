#include "ops/log_line.h"

#include <array>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "core/utf8.h"
#include "ops/utf8.h"

namespace deja::ops {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view cut_mark = " truncated=true\n";

void escape_into(std::string& line, char32_t code) {
  std::array<char, 12> buffer{};
  switch (code) {
    case '\n': line += "\\n"; return;
    case '\r': line += "\\r"; return;
    case '\t': line += "\\t"; return;
    default: break;
  }
  std::snprintf(buffer.data(), buffer.size(), code < 0x80 ? "\\x%02x" : "\\u%04x", static_cast<unsigned>(code));
  line += buffer.data();
}

// C0, DEL and C1 steer terminals; the line and paragraph separators and the bidirectional marks forge lines in viewers.
bool is_control(char32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x2028 || code == 0x2029 || (code >= 0x202A && code <= 0x202E) ||
         (code >= 0x2066 && code <= 0x2069);
}

void append_escaped(std::string& line, std::string_view text, bool quoted) {
  while (!text.empty()) {
    const auto next = decode_utf8(text);
    if (!next.valid) {
      line += "\xEF\xBF\xBD";
    } else if (is_control(next.code)) {
      escape_into(line, next.code);
    } else {
      if (next.code == '\\' || (quoted && next.code == '"')) line += '\\';
      line += text.substr(0, next.bytes);
    }
    text.remove_prefix(next.bytes);
  }
}

bool needs_quotes(std::string_view text) { return text.empty() || text.find_first_of(" =\"\\") != std::string_view::npos; }

void append_value(std::string& line, std::string_view text) {
  const bool quoted = needs_quotes(text);
  if (quoted) line += '"';
  append_escaped(line, text, quoted);
  if (quoted) line += '"';
}
void append_value(std::string& line, std::int64_t value) { line += std::to_string(value); }
void append_value(std::string& line, bool value) { line += value ? "true" : "false"; }
void append_value(std::string& line, double value) {
  std::array<char, 32> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%.9g", value);
  line += buffer.data();
}

std::string bounded(std::string_view text, std::size_t limit) { return std::string(core::utf8_prefix(text, limit)); }

Json json_value(const core::Field& field, std::size_t limit, bool& cut) {
  return std::visit(
      [&](const auto& value) -> Json {
        if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string>) {
          cut = cut || value.size() > limit;
          return bounded(value, limit);
        } else {
          return value;
        }
      },
      field.value);
}

// `longest` bounds each string, `most` the number of fields.
std::string json_attempt(const LogEntry& entry, std::size_t longest, std::size_t most) {
  bool cut = entry.message.size() > longest || entry.fields.size() > most;
  Json json;
  json["time"] = rfc3339(entry.time);
  json["level"] = level_name(entry.level);
  json["message"] = bounded(entry.message, longest);
  std::size_t written = 0;
  for (const core::Field& field : entry.fields) {
    if (written++ == most) break;
    cut = cut || field.name.size() > longest;
    std::string name = bounded(field.name, longest);
    while (json.contains(name)) name += '_';
    json[name] = json_value(field, longest, cut);
  }
  if (cut) json["truncated"] = true;
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace

std::string_view level_name(core::Level level) {
  switch (level) {
    case core::Level::debug: return "debug";
    case core::Level::info: return "info";
    case core::Level::warn: return "warn";
    case core::Level::error: return "error";
  }
  return "error";
}

std::string rfc3339(std::chrono::system_clock::time_point time) {
  const auto millis = std::chrono::floor<std::chrono::milliseconds>(time);
  const auto day = std::chrono::floor<std::chrono::days>(millis);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(millis - day);
  std::array<char, 48> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%04d-%02u-%02uT%02d:%02d:%02d.%03dZ", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), static_cast<int>(clock.hours().count()),
                static_cast<int>(clock.minutes().count()), static_cast<int>(clock.seconds().count()),
                static_cast<int>(clock.subseconds().count()));
  return buffer.data();
}

std::string text_line(const LogEntry& entry, std::size_t limit) {
  // Each part is bounded before it is escaped: what lies beyond the limit would only cost time on its way to being cut.
  std::string line = rfc3339(entry.time) + ' ' + std::string(level_name(entry.level)) + ' ';
  append_escaped(line, core::utf8_prefix(entry.message, limit), false);
  for (const core::Field& field : entry.fields) {
    if (line.size() >= limit) break;
    line += ' ';
    append_escaped(line, core::utf8_prefix(field.name, limit), false);
    line += '=';
    std::visit(
        [&](const auto& value) {
          if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string>) {
            append_value(line, core::utf8_prefix(value, limit));
          } else {
            append_value(line, value);
          }
        },
        field.value);
  }
  if (line.size() + 1 > limit) return std::string(core::utf8_prefix(line, limit - cut_mark.size())).append(cut_mark);
  return line + '\n';
}

std::string json_line(const LogEntry& entry, std::size_t limit) {
  // A byte takes up to six once escaped, so a line that is too long is tried again with shorter strings, then with fewer fields.
  for (const std::size_t longest : {limit / 2, limit / 8, limit / 32}) {
    std::string line = json_attempt(entry, longest, entry.fields.size());
    if (line.size() <= limit) return line;
  }
  for (std::size_t most = entry.fields.size(); most > 0; --most) {
    std::string line = json_attempt(entry, limit / 32, most - 1);
    if (line.size() <= limit) return line;
  }
  return json_attempt(entry, 0, 0);
}

}  // namespace deja::ops
