#pragma once

#include <string>

// Which parked record of an ordering key may run: its first, unless a dead letter before it holds the key (R5). Statements for whoever
// has the lane row's lock.

namespace deja::postgres {

/// The first row of each of the ordering keys $2 (null: of all) in lane $1 is due now, and returned, unless one of the key was marked already.
std::string mark_heads_sql(const std::string& schema);
/// No row of lane $1 that a dead letter holds is due any more. The owner may have had one of them under way, so it stays under suspicion (R1).
std::string unmark_held_sql(const std::string& schema);
/// The offset, the row's id and the place in the log of the open dead letters that hold `p`, a row of parked in lane `l`.
std::string holding_sql();

}  // namespace deja::postgres
