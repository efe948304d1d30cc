#pragma once

#include <cstddef>

#include "core/log.h"
#include "postgres/connection.h"
#include "postgres/replay_store.h"

namespace deja::runtime {

/// Feeds the dead letters that operators replay to their lanes, at the pace that was asked for. Every process of a group can; one at a
/// time does. One thread.
class Replays {
 public:
  Replays(const postgres::ReplayStore& store, core::Log& log) : store_(store), log_(log) {}

  /// One step of each replay that runs. True: there is one, so another step will follow soon.
  bool feed(postgres::Connection& connection);

 private:
  void step(postgres::Connection& connection, const postgres::ReplayStore::Running& replay);

  const postgres::ReplayStore& store_;
  core::Log& log_;
  std::size_t turn_ = 0;
};

}  // namespace deja::runtime
