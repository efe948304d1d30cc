#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

// A field of a row that a command shows: one value, with what output and filters need to know about it.

namespace deja::cli {

enum class FieldType { number, text, bytes, time, list, flag };

struct Field {
  std::string_view name;
  FieldType type = FieldType::text;
};

/// Text also carries bytes and times (RFC 3339, UTC, microseconds); the field's type tells them apart. monostate is null.
using Cell = std::variant<std::monostate, std::int64_t, double, bool, std::string, std::vector<std::string>>;
using Row = std::vector<Cell>;  // in the order of the fields

inline bool is_null(const Cell& cell) { return std::holds_alternative<std::monostate>(cell); }

template <class T>
Cell cell_of(const std::optional<T>& value) {
  return value ? Cell(*value) : Cell();
}

}  // namespace deja::cli
