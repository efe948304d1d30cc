#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <pqxx/pqxx>

#include "postgres/sql.h"

// Reads a row's columns in their order, in the few forms that deja's queries give them.

namespace deja::postgres {

/// Works on the row of a result, whatever type the version of libpqxx has for it.
template <class PqxxRow>
class Columns {
 public:
  explicit Columns(const PqxxRow& row) : row_(row) {}

  std::string text() { return next().c_str(); }
  std::int64_t number() { return next().template as<std::int64_t>(); }
  bool flag() { return next().template as<bool>(); }
  std::optional<std::string> maybe_text() {
    const auto field = next();
    return field.is_null() ? std::nullopt : std::optional<std::string>(field.c_str());
  }
  std::optional<std::string> maybe_bytes() {
    const auto hex = maybe_text();
    return hex ? std::optional<std::string>(bytes_of(*hex)) : std::nullopt;
  }
  std::optional<std::int64_t> maybe_number() {
    const auto field = next();
    return field.is_null() ? std::nullopt : std::optional<std::int64_t>(field.template as<std::int64_t>());
  }
  std::optional<double> maybe_real() {
    const auto field = next();
    return field.is_null() ? std::nullopt : std::optional<double>(field.template as<double>());
  }

 private:
  auto next() { return row_[at_++]; }

  const PqxxRow& row_;
  int at_ = 0;
};

}  // namespace deja::postgres
