#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace deja::core {

/// The header that tells which committed event this is: `group/lane id/number`. Added when an event is published, so that its topics
/// alone show whether one was lost, doubled or invented.
inline constexpr const char* event_number_header = "deja-event-number";

struct EventNumber {
  std::string_view group;
  std::int32_t lane = 0;
  std::int64_t seq = 0;
};

inline std::string event_number_prefix(std::string_view group, std::int32_t lane) {
  return std::string(group) + "/" + std::to_string(lane) + "/";
}

/// Nothing for text that deja did not write. The group may contain slashes.
inline std::optional<EventNumber> parse_event_number(std::string_view text) {
  const auto number_at = [](std::string_view digits, auto& out) {
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out);
    return error == std::errc() && end == digits.data() + digits.size();
  };
  const auto last = text.rfind('/');
  if (last == std::string_view::npos || last == 0) return std::nullopt;
  const auto first = text.rfind('/', last - 1);
  EventNumber number;
  if (first == std::string_view::npos || !number_at(text.substr(first + 1, last - first - 1), number.lane) || !number_at(text.substr(last + 1), number.seq)) return std::nullopt;
  number.group = text.substr(0, first);
  return number;
}

/// A record's position as the header `deja-source` has it: `topic/partition/offset`.
struct SourcePosition {
  std::string_view topic;
  std::int32_t partition = 0;
  std::int64_t offset = 0;
};
inline std::optional<SourcePosition> parse_source(std::string_view text) {
  const auto found = parse_event_number(text);  // the same form
  if (!found) return std::nullopt;
  return SourcePosition{found->group, found->lane, found->seq};
}

}  // namespace deja::core
