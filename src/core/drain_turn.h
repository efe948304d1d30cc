#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/clock.h"
#include "core/parked_set.h"

// When the parked records of a lane run, beside its live ones. Nothing here does I/O.

namespace deja::core {

/// What a lane could do next.
struct LaneTurn {
  std::optional<bool> refused_in_drain;           ///< a record was refused by a dependency and waits: is it a parked one? nothing: none was
  bool drain_begun = false;                       ///< parked records were read and are not done
  std::optional<Steady::time_point> drain_due{};  ///< next_drain()
  bool drained_last = false;
  bool live_held_up = false;                      ///< no live record may run, for lack of room
  bool live_waiting = false;
};
/// Live records and parked ones take turns while both could run, so that neither waits for the other to end. What was refused goes on
/// before anything else does: its dependency is asked with it.
bool drains_next(const LaneTurn& turn, Steady::time_point now);

/// When a drain may begin; nothing: there is none. What ran before waits for `budget_until`.
std::optional<Steady::time_point> next_drain(const ParkedSet& parked, Steady::time_point budget_until);

/// R6: of those that ran before only the first `granted` stay.
void keep_within_budget(std::vector<std::int64_t>& ids, const ParkedSet& parked, std::int64_t granted);

}  // namespace deja::core
