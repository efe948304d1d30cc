#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/outbound_event.h"
#include "postgres/connection.h"

namespace deja::postgres {

/// Events of an operator's change, numbered like the lane's own, in the caller's transaction, which has the lane's lock (lane_change.h): the
/// owner, or the next one, publishes them; of a lane that nobody works any more, since a topic has fewer, they are not written. Raise parked_version after it, so that it looks.
void add_operator_events(Connection& c, const std::string& schema, std::int32_t lane_id, const std::vector<core::OutboundEvent>& events);

}  // namespace deja::postgres
