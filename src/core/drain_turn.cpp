#include "core/drain_turn.h"

#include <algorithm>

namespace deja::core {

bool drains_next(const LaneTurn& turn, Steady::time_point now) {
  if (turn.refused_in_drain) return *turn.refused_in_drain;
  if (turn.drain_begun) return true;
  if (!turn.drain_due || *turn.drain_due > now) return false;
  return !turn.drained_last || turn.live_held_up || !turn.live_waiting;
}

std::optional<Steady::time_point> next_drain(const ParkedSet& parked, Steady::time_point budget_until) {
  const auto first = parked.next_due(false);
  auto any = parked.next_due();
  if (any) any = std::max(*any, budget_until);
  return first && any ? std::min(*first, *any) : any;
}

void keep_within_budget(std::vector<std::int64_t>& ids, const ParkedSet& parked, std::int64_t granted) {
  std::erase_if(ids, [&](std::int64_t id) { return parked.find(id)->again && --granted < 0; });
}

}  // namespace deja::core
