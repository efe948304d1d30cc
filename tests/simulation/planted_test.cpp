#include <gtest/gtest.h>

#include <iostream>
#include <memory>
#include <string>

#include "core/backoff.h"
#include "simulation/simulation.h"

// Each decision once wrong, in a way that somebody could write it: the schedules have to find it.

namespace deja::simulation {
namespace {

using core::Action;

struct IgnoresMaxAttempts : Decisions {
  core::Decision decide(const core::RetryPolicy& policy, core::Trouble trouble, const core::Spent& spent, double unit) const override {
    auto without = policy;
    without.max_attempts = Script::always;
    return core::decide(without, trouble, spent, unit);
  }
};
struct AllowsOneAttemptMore : Decisions {
  core::Decision decide(const core::RetryPolicy& policy, core::Trouble trouble, const core::Spent& spent, double unit) const override {
    return core::decide(policy, trouble, {spent.attempts - (spent.attempts > 0 ? 1 : 0), spent.waited}, unit);
  }
};
struct IgnoresTheDeadline : Decisions {
  core::Decision decide(const core::RetryPolicy& policy, core::Trouble trouble, const core::Spent& spent, double unit) const override {
    return core::decide(policy, trouble, {spent.attempts, milliseconds(0)}, unit);
  }
};
struct CountsOutagesIntoTheDeadline : Decisions {
  milliseconds waited(const ParkedRow& row, Time now) const override { return std::chrono::duration_cast<milliseconds>(now - row.first_seen); }
};
struct SpendsAnAttemptInAnOutage : Decisions {
  core::Trouble refused() const override { return core::Trouble::exception; }
};
struct ParksWhatIsRejected : Decisions {
  core::Decision decide(const core::RetryPolicy& policy, core::Trouble trouble, const core::Spent& spent, double unit) const override {
    return core::decide(policy, trouble == core::Trouble::rejected ? core::Trouble::exception : trouble, spent, unit);
  }
};
struct Backoff : Decisions {
  virtual milliseconds delay(const core::BackoffPolicy& policy, std::int32_t attempt, double unit) const = 0;
  core::Decision decide(const core::RetryPolicy& policy, core::Trouble trouble, const core::Spent& spent, double unit) const override {
    auto decision = core::decide(policy, trouble, spent, unit);
    if (decision.action == Action::attempt) decision.delay = delay(policy.backoff, spent.attempts, unit);
    return decision;
  }
};
struct BackoffWithoutCap : Backoff {
  milliseconds delay(const core::BackoffPolicy& policy, std::int32_t attempt, double unit) const override {
    return core::full_jitter({policy.base, milliseconds(3'600'000)}, static_cast<std::uint32_t>(attempt), unit);
  }
};
struct BackoffWithoutJitter : Backoff {
  milliseconds delay(const core::BackoffPolicy& policy, std::int32_t attempt, double) const override {
    return core::full_jitter(policy, static_cast<std::uint32_t>(attempt), 0.9999);
  }
};
struct BackoffThatJittersHalf : Backoff {
  milliseconds delay(const core::BackoffPolicy& policy, std::int32_t attempt, double unit) const override {
    return core::full_jitter(policy, static_cast<std::uint32_t>(attempt), 0.5 + unit / 2);
  }
};
struct BackoffBelowZero : Backoff {
  milliseconds delay(const core::BackoffPolicy& policy, std::int32_t attempt, double unit) const override {
    return core::full_jitter(policy, static_cast<std::uint32_t>(attempt), unit - 0.1);
  }
};

struct FollowersDoNotWait : Decisions {
  bool has_to_wait(const core::ParkedSet&, std::uint64_t) const override { return false; }
};
struct TwinsAreNotSeen : Decisions {
  bool has_twin(const core::ParkedSet&, const LogRecord&) const override { return false; }
};
struct TwinsByKeyAlone : Decisions {
  bool has_twin(const core::ParkedSet& parked, const LogRecord& record) const override {
    for (std::int64_t digest = 0; digest < 400; ++digest)
      if (parked.twin(record.key, digest) != nullptr) return true;
    return false;
  }
};
struct NoBoundToParking : Decisions {
  bool has_room(std::size_t, std::size_t) const override { return true; }
};
struct BoundOfParkingOffByOne : Decisions {
  bool has_room(std::size_t parked, std::size_t most) const override { return parked <= most; }
};
struct KeepsTheKeyOfWhatFailed : Decisions {
  bool gives_up_key() const override { return false; }
};
struct RunsBeforeItIsDue : Decisions {
  std::vector<std::int64_t> due(const core::ParkedSet& parked, Time now, std::size_t most, bool again) const override {
    return parked.due(now + milliseconds(500), most, again);
  }
};
struct PromotesTheLast : Decisions {
  const ParkedRow* promoted(const ParkedRow* best, const ParkedRow* other) const override {
    return best == nullptr || other->record->offset > best->record->offset ? other : best;
  }
};
struct PromotesNobody : Decisions {
  const ParkedRow* promoted(const ParkedRow*, const ParkedRow*) const override { return nullptr; }
};
struct DrainsDoNotLookAgain : Decisions {
  bool looks_again_at(const ParkedRow&, const ParkedRow&) const override { return true; }
};
struct RunsGoOnPastWhatStays : Decisions {
  bool leaves_in_its_place() const override { return false; }
};
struct RunsOfSuspects : Decisions {
  bool fits_into_a_run(const core::ParkedRecord& known, const ParkedRow& row) const override {
    return !known.due && row.wanted == Wanted::nothing;
  }
};
struct TakeOverWithoutFollowers : Decisions {
  bool marks_followers() const override { return false; }
};
struct DrainsFirst : Decisions {
  bool drains_next(const core::LaneTurn& turn, Time now) const override {
    auto t = turn;
    t.drained_last = false;
    return core::drains_next(t, now);
  }
};
struct LiveFirst : Decisions {
  bool drains_next(const core::LaneTurn& turn, Time now) const override {
    if (turn.live_waiting && !turn.live_held_up && !turn.drain_begun && !turn.refused_in_drain) return false;
    return core::drains_next(turn, now);
  }
};

struct NoBudget : Decisions {
  std::int64_t tokens(const core::RetryBudget&, const core::RetryBudget::Spent&) const override { return 1000; }
};
struct BudgetOfOneSecond : Decisions {
  std::chrono::seconds budget_window() const override { return std::chrono::seconds(1); }
};
struct BudgetThatKeepsNobodyBack : Decisions {
  void keep_within_budget(std::vector<std::int64_t>&, const core::ParkedSet&, std::int64_t) const override {}
};
struct BudgetThatIsNeverThere : Decisions {
  std::int64_t tokens(const core::RetryBudget&, const core::RetryBudget::Spent&) const override { return 0; }
};

struct BreakerThatNeverOpens : Decisions {
  core::Breaker::Turn ask(core::Breaker&, core::Breaker::Caller, Time) const override { return {true, false, {}}; }
};
struct BreakerThatLetsAllProbe : Decisions {
  core::Breaker::Turn ask(core::Breaker& breaker, core::Breaker::Caller caller, Time now) const override {
    auto turn = breaker.ask(caller, now);
    if (breaker.state() == core::BreakerState::half_open) turn.allowed = turn.probe = true;
    return turn;
  }
};
struct BreakerThatProbesWithABatch : Decisions {
  core::Breaker::Turn ask(core::Breaker& breaker, core::Breaker::Caller caller, Time now) const override {
    auto turn = breaker.ask(caller, now);
    turn.probe = false;
    return turn;
  }
};
struct BreakerThatProbesAtOnce : Decisions {
  core::Breaker::Turn ask(core::Breaker& breaker, core::Breaker::Caller caller, Time now) const override { return breaker.ask(caller, now + milliseconds(3750)); }
};
struct BreakerThatWaitsForWhoLeft : Decisions {
  void left(core::Breaker&, core::Breaker::Caller) const override {}
};

struct SuspectsRunTogether : Decisions {
  bool alone(const core::Suspects&) const override { return false; }
};
struct StartsAreNotCounted : Decisions {
  std::optional<std::int32_t> start_of(const core::Suspects& suspects, std::int64_t offset) const override {
    return suspects.start_of(offset) ? std::optional(1) : std::nullopt;
  }
};
struct StartsAreNotCommittedBefore : Decisions {
  std::optional<std::int32_t> start_of(const core::Suspects&, std::int64_t) const override { return std::nullopt; }
};
struct StartsAreNotTakenBack : Decisions {
  std::optional<core::Suspects::Refund> refund(const core::Suspects&, std::int64_t) const override { return std::nullopt; }
};
struct SuspectsThatNeverDie : Decisions {
  bool has_to_die_live(const core::Suspects&, std::int64_t, std::int32_t) const override { return false; }
};
struct SuspectsThatDieEarly : Decisions {
  bool has_to_die_live(const core::Suspects& suspects, std::int64_t offset, std::int32_t most) const override { return suspects.dead(offset, most - 1); }
};
struct ParkedSuspectsRunTogether : Decisions {
  bool runs_parked_suspects_alone() const override { return false; }
};
struct ParkedSuspectsThatDieEarly : Decisions {
  bool has_to_die_parked(std::int32_t starts, std::int32_t most) const override { return starts >= most - 1; }
};

struct AloneInItsLaneOnly : Decisions {
  bool may_enter(bool, int, bool, bool) const override { return true; }
};
struct AloneBesideThoseThatRun : Decisions {
  bool may_enter(bool, int, bool alone, bool) const override { return !alone; }
};

struct SuspectsAreOverAfterOne : Decisions {
  void settle_suspects(core::SuspectMark& row, std::size_t) const override { row.records = 0; }
};
struct CleanStays : Decisions {
  bool clean_stays() const override { return true; }
};
struct TakeOverWithoutLiveSuspects : Decisions {
  bool marks_live_suspects(bool) const override { return false; }
};
struct TakeOverWithoutParkedSuspects : Decisions {
  bool marks_parked_suspects(bool) const override { return false; }
};
struct TakeOverWithoutParkedRecords : Decisions {
  bool loads_parked() const override { return false; }
};
struct CommitsWithoutCompare : Decisions {
  bool is_mine(const LaneRow&, const LaneRow&) const override { return true; }
};
struct ComparesTheOffsetAlone : Decisions {
  bool is_mine(const LaneRow& row, const LaneRow& mine) const override { return row.next_offset == mine.next_offset; }
};
struct LanesByOffset : Decisions {
  std::int32_t lane_of(const LogRecord& record, std::int32_t lanes) const override { return core::lane_of(std::nullopt, record.offset, lanes); }
};

struct Planted {
  std::string name;
  std::shared_ptr<const Decisions> decisions;
  std::uint64_t within;  // schedules
};
void PrintTo(const Planted& bug, std::ostream* out) { *out << bug.name; }
template <typename T>
Planted planted(std::string name, std::uint64_t within = 500) {
  return {std::move(name), std::make_shared<const T>(), within};
}
#define DEJA_PLANTED(type, ...) planted<type>(#type __VA_OPT__(, ) __VA_ARGS__)

class APlantedBug : public testing::TestWithParam<Planted> {};

TEST_P(APlantedBug, IsFound) {
  const auto& bug = GetParam();
  for (std::uint64_t seed = 1; seed <= bug.within; ++seed) {
    const auto verdict = run_schedule(seed, *bug.decisions);
    if (!verdict.violation) continue;
    std::cout << bug.name << ": found by seed " << seed << ": " << *verdict.violation << std::endl;
    RecordProperty("schedules", static_cast<int>(seed));
    return;
  }
  ADD_FAILURE() << bug.name << " is not found by " << bug.within << " schedules";
}

INSTANTIATE_TEST_SUITE_P(Decisions, APlantedBug, testing::Values(
    DEJA_PLANTED(IgnoresMaxAttempts), DEJA_PLANTED(AllowsOneAttemptMore), DEJA_PLANTED(IgnoresTheDeadline),
    DEJA_PLANTED(CountsOutagesIntoTheDeadline), DEJA_PLANTED(SpendsAnAttemptInAnOutage), DEJA_PLANTED(ParksWhatIsRejected),
    DEJA_PLANTED(BackoffWithoutCap), DEJA_PLANTED(BackoffWithoutJitter), DEJA_PLANTED(BackoffThatJittersHalf), DEJA_PLANTED(BackoffBelowZero),
    DEJA_PLANTED(FollowersDoNotWait), DEJA_PLANTED(TwinsAreNotSeen), DEJA_PLANTED(TwinsByKeyAlone), DEJA_PLANTED(NoBoundToParking),
    DEJA_PLANTED(BoundOfParkingOffByOne), DEJA_PLANTED(KeepsTheKeyOfWhatFailed), DEJA_PLANTED(RunsBeforeItIsDue), DEJA_PLANTED(PromotesTheLast),
    DEJA_PLANTED(PromotesNobody), DEJA_PLANTED(DrainsDoNotLookAgain), DEJA_PLANTED(RunsGoOnPastWhatStays), DEJA_PLANTED(RunsOfSuspects, 5000), DEJA_PLANTED(TakeOverWithoutFollowers, 5000), DEJA_PLANTED(DrainsFirst), DEJA_PLANTED(LiveFirst),
    DEJA_PLANTED(NoBudget), DEJA_PLANTED(BudgetOfOneSecond), DEJA_PLANTED(BudgetThatKeepsNobodyBack),
    DEJA_PLANTED(BudgetThatIsNeverThere), DEJA_PLANTED(BreakerThatNeverOpens), DEJA_PLANTED(BreakerThatLetsAllProbe),
    DEJA_PLANTED(BreakerThatProbesWithABatch), DEJA_PLANTED(BreakerThatProbesAtOnce), DEJA_PLANTED(BreakerThatWaitsForWhoLeft),
    DEJA_PLANTED(SuspectsRunTogether), DEJA_PLANTED(StartsAreNotCounted), DEJA_PLANTED(StartsAreNotCommittedBefore),
    DEJA_PLANTED(StartsAreNotTakenBack), DEJA_PLANTED(SuspectsThatNeverDie), DEJA_PLANTED(SuspectsThatDieEarly),
    DEJA_PLANTED(ParkedSuspectsRunTogether), DEJA_PLANTED(ParkedSuspectsThatDieEarly), DEJA_PLANTED(TakeOverWithoutLiveSuspects), DEJA_PLANTED(SuspectsAreOverAfterOne, 2000),
    DEJA_PLANTED(AloneInItsLaneOnly), DEJA_PLANTED(AloneBesideThoseThatRun),
    DEJA_PLANTED(CleanStays),
    DEJA_PLANTED(TakeOverWithoutParkedSuspects), DEJA_PLANTED(TakeOverWithoutParkedRecords), DEJA_PLANTED(CommitsWithoutCompare),
    DEJA_PLANTED(ComparesTheOffsetAlone, 5000), DEJA_PLANTED(LanesByOffset)),
    [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace deja::simulation
