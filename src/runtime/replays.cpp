#include "runtime/replays.h"

#include "failpoints/failpoint.h"
#include "postgres/errors.h"

namespace deja::runtime {

bool Replays::feed(postgres::Connection& connection) {
  const auto running = store_.running(connection);
  DEJA_FAILPOINT(after_replay_look);
  for (const auto& replay : running) step(connection, replay);
  return !running.empty();
}

// What the look says may be over by now: each step is decided anew in its transaction.
void Replays::step(postgres::Connection& connection, const postgres::ReplayStore::Running& replay) {
  const auto step = core::next_step(replay.progress);
  if (!step.stop.empty() || step.finished) {
    const auto stopped = store_.end(connection, replay.action);
    DEJA_FAILPOINT(after_replay_end);
    if (stopped && !stopped->empty()) log_.warn("a replay of dead letters stops", {{"action", replay.action}, {"cause", *stopped}});
    return;
  }
  if (step.feed <= 0) return;
  const auto lanes = store_.lanes_of_next(connection, replay.action, step.feed);
  DEJA_FAILPOINT(after_replay_items);
  const auto share = lanes.empty() ? 0 : (step.feed - 1) / static_cast<std::int64_t>(lanes.size()) + 1;
  for (const auto lane : lanes) {
    try {
      store_.feed(connection, replay.action, lane, share);
    } catch (const std::exception& e) {  // a batch holds the lane: other lanes need not wait for it
      if (postgres::classify(e, !connection.broken()).kind != postgres::Failure::repeat) throw;
    }
    DEJA_FAILPOINT(after_replay_step);
  }
}

}  // namespace deja::runtime
