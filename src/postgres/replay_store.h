#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/replay.h"
#include "postgres/connection.h"

// How replays of dead letters get to their lanes: operators accept them into a list, and any process of the group feeds them.

namespace deja::postgres {

class ReplayStore {
 public:
  /// `most_parked`: replays that a lane may have in flight, so that there is room for what fails of its own.
  ReplayStore(const std::string& schema, std::string group, std::int64_t most_parked);

  struct Running {
    std::int64_t action = 0;
    core::ReplayProgress progress;
  };
  std::vector<Running> running(Connection& c) const;

  /// The lanes of the next ones, without those that have enough to do.
  std::vector<std::int32_t> lanes_of_next(Connection& c, std::int64_t action, std::int64_t most) const;

  /// Transactions of their own, in which nobody else takes a step of this replay; whoever hangs in one loses it with its session. What the step
  /// is, is decided in there. False: somebody else is at it, or there is nothing to do.
  /// At most `share` dead letters become parked records of the lane, in their place of the log (D1). Throws when a batch holds the lane for long.
  bool feed(Connection& c, std::int64_t action, std::int32_t lane, std::int64_t share) const;
  /// It stops itself, and what was not fed yet is open again; or all have ended. Returns why it stopped.
  std::optional<std::string> end(Connection& c, std::int64_t action) const;
  /// It cannot go on: what was not fed yet is open again.
  void stop(Connection& c, std::int64_t action, const std::string& cause) const;

 private:
  void stop_here(Connection& c, std::int64_t action, const std::string& cause) const;
  core::ReplayProgress in_turn(Connection& c, std::int64_t action) const;

  std::int64_t most_parked_;
  std::string schema_, group_, running_, turn_, now_, next_, take_, park_, demote_, heads_, fed_, stop_, finish_;
};

/// In the caller's transaction: what of the replay was not fed yet is open again. Returns how many.
std::int64_t open_queued(Connection& c, const std::string& schema, std::int64_t action);

}  // namespace deja::postgres
