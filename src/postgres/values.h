#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/uuid.h"
#include "postgres/connection.h"
#include "postgres/sql.h"

// Values as statements have them.

namespace deja::postgres {

inline std::string text(std::int64_t n) { return std::to_string(n); }

inline std::string bytea_or_null(const Connection& c, std::optional<std::string_view> bytes) { return bytes ? c.quote(bytea_text(*bytes)) : "null"; }

inline std::string uuid_or_null(const std::optional<core::Uuid>& uuid) { return uuid ? '\'' + core::to_text(*uuid) + '\'' : "null"; }

template <class T>
std::string number_or_null(const std::optional<T>& n) {
  return n ? std::to_string(*n) : "null";
}

}  // namespace deja::postgres
