#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "postgres/connection.h"

// Which parked record of an ordering key may run: its first, unless a dead letter before it holds the key (R5). Statements for whoever
// has the lane row's lock.

namespace deja::postgres {

// Postgres has no unsigned numbers.
inline std::int64_t stored(std::uint64_t ordering) { return static_cast<std::int64_t>(ordering); }
inline std::optional<std::int64_t> stored(const std::optional<std::uint64_t>& ordering) { return ordering ? std::optional(stored(*ordering)) : std::nullopt; }
inline std::optional<std::uint64_t> ordering_of(const std::optional<std::int64_t>& stored) {
  return stored ? std::optional(static_cast<std::uint64_t>(*stored)) : std::nullopt;
}

/// The first row of each of the ordering keys $2 (null: of all) in lane $1 is due now, and returned, unless it was marked already.
std::string mark_heads_sql(const std::string& schema);
/// No row of lane $1 that a dead letter holds is due any more.
std::string unmark_held_sql(const std::string& schema);
/// The offset, the row's id and the place in the log of the open dead letters that hold `p`, a row of parked in lane `l`.
std::string holding_sql();

/// First in a transaction of an operator: a batch under way holds its lane until its handlers are done.
void lock_lane(Connection& c, const std::string& schema, std::int32_t lane_id);
/// Last: the owner reads parked records and dead letters again (D1).
void raise_parked_version(Connection& c, const std::string& schema, std::int32_t lane_id);

}  // namespace deja::postgres
