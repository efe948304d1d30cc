#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Records as JSON lines, the one form in which deja takes and gives records in files:
//   {"key": .., "value": .., "headers": [["name", ..]], "topic"?: "..", "partition"?: 0, "offset"?: 0}
// Bytes are a string, {"base64": ".."} when they are no UTF-8, or null. Any bytes come back as they were.

namespace deja::core {

struct RecordLine {
  std::optional<std::string> key = {};
  std::optional<std::string> value = {};
  std::vector<std::pair<std::string, std::optional<std::string>>> headers = {};
  std::optional<std::string> topic = {};
  std::optional<std::int32_t> partition = {};
  std::optional<std::int64_t> offset = {};

  friend bool operator==(const RecordLine&, const RecordLine&) = default;
};

/// What is wrong with a line, in words that follow "line 3: ".
class MalformedLine : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Throws MalformedLine. Every field may be missing; a field of another name is refused, since it is most likely a typing error.
RecordLine parse_record_line(std::string_view line);

/// One line without its newline.
std::string format_record_line(const RecordLine& record);

}  // namespace deja::core
