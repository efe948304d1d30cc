#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "cli/cell.h"

// --filter: comparisons of fields with values, joined by `and`, `or` and parentheses; `and` binds tighter.
//   cause=exhausted and (handler=settle-payment or handler=refund) and dead_at>=2026-11-22T01:00Z and error~timeout
// Operators: = != < <= > >= and ~ (contains). A value is a number, a time (RFC 3339, seconds and time of day may be left out),
// true, false, null, a bare word, or text in '..' or "..", where \ escapes. What it is read as depends on the field.
// A field that is null fits only `= null` and `!= something`.

namespace deja::cli {

/// Wrong syntax, an unknown field or a value that cannot be compared. what() names the position, which counts from 1.
class FilterError : public std::runtime_error {
 public:
  FilterError(std::size_t position, const std::string& problem);
};

class Filter {
 public:
  /// Fits every row.
  Filter();
  /// Throws FilterError.
  Filter(std::string_view expression, std::span<const Field> fields);
  ~Filter();
  Filter(Filter&&) noexcept;
  Filter& operator=(Filter&&) noexcept;

  bool fits(const Row& row) const;

  class Node;

 private:
  std::unique_ptr<const Node> root_;
};

}  // namespace deja::cli
