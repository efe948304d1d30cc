#pragma once

#include <cstdint>

#include "postgres/replay_admin.h"

namespace deja::cli {

/// Asks until the replay has ended, or stands still for an operator; at a terminal with a bar on stderr. Throws Stop when the database is away.
postgres::ActionRow await_replay(postgres::Connection& connection, postgres::ReplayAdmin& admin, std::int64_t action);

}  // namespace deja::cli
