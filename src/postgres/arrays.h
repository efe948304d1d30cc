#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/uuid.h"

namespace deja::postgres {

/// Postgres' text form of an array of values that need no quoting.
template <class Items, class Text>
std::string array_text(const Items& items, Text&& text) {
  std::string out = "{";
  for (const auto& item : items) {
    if (out.size() > 1) out += ',';
    out += text(item);
  }
  return out + "}";
}

inline std::string array_text(const std::vector<std::int32_t>& numbers) {
  return array_text(numbers, [](std::int32_t n) { return std::to_string(n); });
}
inline std::string array_text(const std::vector<std::int64_t>& numbers) {
  return array_text(numbers, [](std::int64_t n) { return std::to_string(n); });
}
/// Of any text: quoted.
inline std::string array_text(const std::vector<std::string>& items) {
  return array_text(items, [](const std::string& item) {
    std::string quoted = "\"";
    for (const char c : item) (c == '"' || c == '\\' ? quoted += '\\' : quoted) += c;
    return quoted + '"';
  });
}
inline std::string array_text(const std::vector<core::Uuid>& uuids) {
  return array_text(uuids, [](const core::Uuid& u) { return core::to_text(u); });
}

}  // namespace deja::postgres
