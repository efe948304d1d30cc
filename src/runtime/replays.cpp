#include "runtime/replays.h"

#include <map>

#include "failpoints/failpoint.h"
#include "postgres/errors.h"

namespace deja::runtime {

bool Replays::feed(postgres::Connection& connection) {
  const auto running = store_.running(connection);
  DEJA_FAILPOINT(after_replay_look);
  if (running.empty()) return false;
  if (!store_.enter(connection)) return true;
  DEJA_FAILPOINT(after_replay_turn);
  for (const auto& replay : store_.running(connection)) {  // as it is now that the turn is ours
    DEJA_FAILPOINT(after_replay_look);
    step(connection, replay);
  }
  store_.leave(connection);  // a session that is lost leaves, too
  DEJA_FAILPOINT(after_replay_turn);
  return true;
}

void Replays::step(postgres::Connection& connection, const postgres::ReplayStore::Running& replay) {
  const auto step = core::next_step(replay.progress);
  if (!step.stop.empty()) {
    log_.warn("a replay of dead letters stops", {{"action", replay.action}, {"cause", step.stop}});
    store_.stop(connection, replay.action, step.stop);
    DEJA_FAILPOINT(after_replay_end);
    return;
  }
  if (step.finished) {
    store_.finish(connection, replay.action);
    DEJA_FAILPOINT(after_replay_end);
    return;
  }
  if (step.feed <= 0) return;
  const auto items = store_.next(connection, replay.action, step.feed);
  DEJA_FAILPOINT(after_replay_items);
  std::map<std::int32_t, std::vector<std::int64_t>> by_lane;
  for (const auto& item : items) by_lane[item.lane].push_back(item.dead_letter);
  for (const auto& [lane, letters] : by_lane) {
    try {
      store_.feed(connection, replay.action, lane, letters);
    } catch (const std::exception& e) {  // a batch holds the lane: other lanes need not wait for it
      if (postgres::classify(e, !connection.broken()).kind != postgres::Failure::repeat) throw;
    }
    DEJA_FAILPOINT(after_replay_step);
  }
}

}  // namespace deja::runtime
