#include "runtime/replays.h"

#include "failpoints/failpoint.h"
#include "postgres/errors.h"

namespace deja::runtime {

namespace {
constexpr int most_busy_lanes = 3;  // that one step waits for: the thread has other duties
}

bool Replays::feed(postgres::Connection& connection) {
  const auto running = store_.running(connection);
  DEJA_FAILPOINT(after_replay_look);
  for (const auto& replay : running) {
    try {
      step(connection, replay);
    } catch (const std::exception& e) {
      const auto failure = postgres::classify(e, !connection.broken());
      if (failure.kind != postgres::Failure::data) throw;
      // it would fail so each time, and others wait behind it
      log_.error("a replay of dead letters cannot go on", {{"action", replay.action}, {"error", failure.message}});
      store_.stop(connection, replay.action, failure.message);
      DEJA_FAILPOINT(after_replay_end);
    }
  }
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
  ++turn_;  // another lane is the first each time, since busy ones may use up the step's time
  int busy = 0;
  for (std::size_t i = 0; i < lanes.size() && busy < most_busy_lanes; ++i) {
    try {
      store_.feed(connection, replay.action, lanes[(turn_ + i) % lanes.size()], share);
    } catch (const std::exception& e) {  // a batch holds the lane: other lanes need not wait for it
      if (postgres::classify(e, !connection.broken()).kind != postgres::Failure::repeat) throw;
      ++busy;
    }
    DEJA_FAILPOINT(after_replay_step);
  }
}

}  // namespace deja::runtime
