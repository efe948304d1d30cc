#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/replay.h"
#include "postgres/connection.h"

// How replays of dead letters get to their lanes: operators accept them into a list, and any process of the group feeds them.

namespace deja::postgres {

class ReplayStore {
 public:
  ReplayStore(const std::string& schema, std::string group);

  struct Running {
    std::int64_t action = 0;
    core::ReplayProgress progress;
  };
  std::vector<Running> running(Connection& c) const;

  /// One process of the group at a time feeds; false: another one does. For the session, until leave().
  bool enter(Connection& c) const;
  void leave(Connection& c) const;

  struct Item {
    std::int32_t lane = 0;
    std::int64_t dead_letter = 0;
  };
  /// The next ones in their order, without those whose lanes have enough to do.
  std::vector<Item> next(Connection& c, std::int64_t action, std::int64_t most) const;
  /// A transaction of its own: they become parked records of the lane, in their place of the log (D1). Returns how many did. Throws when a
  /// batch holds the lane for long.
  std::int64_t feed(Connection& c, std::int64_t action, std::int32_t lane, const std::vector<std::int64_t>& dead_letters) const;
  /// A transaction of its own: what was not fed yet is open again.
  void stop(Connection& c, std::int64_t action, const std::string& cause) const;
  /// All have ended.
  void finish(Connection& c, std::int64_t action) const;

 private:
  std::string schema_, group_, running_, next_, take_, park_, demote_, heads_, fed_, stop_, finish_;
};

/// In the caller's transaction: what of the replay was not fed yet is open again. Returns how many.
std::int64_t open_queued(Connection& c, const std::string& schema, std::int64_t action);

}  // namespace deja::postgres
