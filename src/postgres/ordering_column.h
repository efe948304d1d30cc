#pragma once

#include <cstdint>
#include <optional>

// Hashes of ordering keys as columns have them.

namespace deja::postgres {

// Postgres has no unsigned numbers.
inline std::int64_t stored(std::uint64_t ordering) { return static_cast<std::int64_t>(ordering); }
inline std::optional<std::int64_t> stored(const std::optional<std::uint64_t>& ordering) { return ordering ? std::optional(stored(*ordering)) : std::nullopt; }
inline std::optional<std::uint64_t> ordering_of(const std::optional<std::int64_t>& stored) {
  return stored ? std::optional(static_cast<std::uint64_t>(*stored)) : std::nullopt;
}

}  // namespace deja::postgres
