#pragma once

#include <cstdint>
#include <string>

#include "postgres/connection.h"

// An operator's change of what a lane has, in the caller's transaction (D1).

namespace deja::postgres {

/// First in a transaction of an operator: a batch under way holds its lane until its handlers are done.
void lock_lane(Connection& c, const std::string& schema, std::int32_t lane_id);
/// Last: the owner reads parked records and dead letters again (D1).
void raise_parked_version(Connection& c, const std::string& schema, std::int32_t lane_id);

/// The same where events that were set aside are changed.
void raise_aside_version(Connection& c, const std::string& schema, std::int32_t lane_id);

}  // namespace deja::postgres
