#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/breaker.h"
#include "core/drain_turn.h"
#include "core/lane_map.h"
#include "core/parked_set.h"
#include "core/redelivery.h"
#include "core/retry_budget.h"
#include "core/suspects.h"
#include "simulation/database.h"

namespace deja::simulation {

/// Every decision that a simulated process takes: the code of src/core, and where the decision stands in a statement, what that says.
/// A test puts a wrong one in the place of one of them.
class Decisions {
 public:
  virtual ~Decisions() = default;

  // Redelivery.
  virtual core::Decision decide(const core::RetryPolicy& policy, core::Trouble trouble, const core::Spent& spent, double unit) const {
    return core::decide(policy, trouble, spent, unit);
  }
  virtual milliseconds waited(const ParkedRow& row, Time) const { return row.waited; }
  virtual core::Trouble refused() const { return core::Trouble::unavailable; }

  // Parking.
  virtual bool has_to_wait(const core::ParkedSet& parked, std::uint64_t ordering) const { return parked.count(ordering) > 0; }
  virtual bool has_twin(const core::ParkedSet& parked, const LogRecord& record) const { return parked.twin(record.key, record.digest) != nullptr; }
  virtual bool has_room(std::size_t parked, std::size_t most) const { return parked < most; }
  virtual bool gives_up_key() const { return true; }
  virtual std::vector<std::int64_t> due(const core::ParkedSet& parked, Time now, std::size_t most, bool again) const { return parked.due(now, most, again); }
  /// Of one ordering key: the row to be its head.
  virtual const ParkedRow* promoted(const ParkedRow* best, const ParkedRow* other) const {
    return best == nullptr || other->record->offset < best->record->offset ? other : best;
  }
  virtual bool looks_again_at(const ParkedRow& read, const ParkedRow& now) const { return read.starts == now.starts && read.wanted == now.wanted; }
  /// Of a row behind one that stays.
  virtual bool leaves_in_its_place() const { return true; }
  virtual bool fits_into_a_run(const core::ParkedRecord& known, const ParkedRow& row) const {
    return !known.due && !known.suspect && !known.again && row.wanted == Wanted::nothing;
  }
  virtual bool drains_next(const core::LaneTurn& turn, Time now) const { return core::drains_next(turn, now); }

  // Budget.
  virtual std::int64_t tokens(const core::RetryBudget& budget, const core::RetryBudget::Spent& spent) const { return budget.tokens(spent); }
  virtual std::chrono::seconds budget_window() const { return core::RetryBudget::window; }
  virtual void keep_within_budget(std::vector<std::int64_t>& ids, const core::ParkedSet& parked, std::int64_t granted) const {
    core::keep_within_budget(ids, parked, granted);
  }

  // Breakers.
  virtual core::Breaker::Turn ask(core::Breaker& breaker, core::Breaker::Caller caller, Time now) const { return breaker.ask(caller, now); }
  virtual void left(core::Breaker& breaker, core::Breaker::Caller caller) const { breaker.left(caller); }

  // Suspects.
  virtual bool alone(const core::Suspects& suspects) const { return suspects.alone(); }
  virtual std::optional<std::int32_t> start_of(const core::Suspects& suspects, std::int64_t offset) const { return suspects.start_of(offset); }
  virtual bool has_to_die_parked(std::int32_t starts, std::int32_t most) const { return starts >= most; }
  virtual bool has_to_die_live(const core::Suspects& suspects, std::int64_t offset, std::int32_t most) const { return suspects.dead(offset, most); }
  virtual std::optional<core::Suspects::Refund> refund(const core::Suspects& suspects, std::int64_t offset) const { return suspects.refund(offset); }
  virtual bool runs_parked_suspects_alone() const { return true; }
  /// As runtime/alone.h has it: `together` run beside each other, or one `alone` does, for which others may wait.
  virtual bool may_enter(bool to_be_alone, int together, bool alone, bool one_waits_to_be_alone) const {
    return !alone && (to_be_alone ? together == 0 : !one_waits_to_be_alone);
  }

  // Take-over and commit.
  /// In the batch's transaction.
  virtual void settle_suspects(core::SuspectMark& row, std::size_t records) const { row.records -= std::min(row.records, static_cast<std::int32_t>(records)); }
  virtual bool marks_live_suspects(bool clean) const { return !clean; }
  virtual bool marks_parked_suspects(bool clean) const { return !clean; }
  virtual bool marks_followers() const { return true; }
  virtual bool loads_parked() const { return true; }
  virtual bool clean_stays() const { return false; }
  virtual bool is_mine(const LaneRow& row, const LaneRow& mine) const { return fits(row, mine); }
  virtual std::int32_t lane_of(const LogRecord& record, std::int32_t lanes) const { return core::lane_of(record.ordering_key, record.offset, lanes); }
};

}  // namespace deja::simulation
