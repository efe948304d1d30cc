#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/disposition.h"
#include "simulation/database.h"
#include "simulation/scenario.h"

namespace deja::simulation {

/// The promise is broken.
struct Violation : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What a handler call came to.
enum class Answer { none, returned, threw, rejected, refused };

/// What a batch says of one of its records.
struct Outcome {
  const LogRecord* record = nullptr;
  core::Disposition disposition = core::Disposition::processed;
  std::string_view cause{};
  std::optional<milliseconds> delay{};   // parked, since it failed
  bool failed = false;                   // an attempt, the last one too
  bool ran = false;
  bool gone = false;                     // no outcome: the row is not what it was
};

/// Holds what happens against the promise, from what can be seen from outside: calls of handlers, commits, ends of processes. It knows
/// nothing of what the processes remember. Throws Violation.
class Checker {
 public:
  using LaneId = const void*;
  struct Try {
    LaneId lane = nullptr;
    int process = 0;
    std::vector<const LogRecord*> records{};
    bool drain = false, alone = false, runs = true;  // runs: handlers are called
  };

  explicit Checker(const Scenario& scenario) : scenario_(scenario), settings_(scenario.settings), fates_(scenario.log.size()) {}

  std::size_t undecided() const { return fates_.size() - decided_; }
  void expect(bool holds, std::string_view rule, const LogRecord* record = nullptr) const;

  // Handler calls.
  void asked(LaneId lane) { asked_[lane] = ++order_; }
  void begins(const Try& t, const Database::Lane& lane, Time now);
  void ends(LaneId lane);
  void called(const LogRecord& record, Time now);
  void answered(const LogRecord& record, Answer answer) { fates_[record.number].answer = answer; }
  void refused(const Try& t, int dependency, Time now);
  void granted(const Try& t, int dependency);
  void needs_no_more(LaneId lane, int process);

  // Commits.
  void committed(const Database::Lane& lane, const std::vector<Outcome>& outcomes, Time now);
  void moved_by_operator(const LogRecord& record, Wanted wanted, Time now);

  // Turns of a lane.
  void turns_begin(LaneId lane) { turns_.erase(lane); }
  void turn_taken(LaneId lane, bool drain, bool other_could);

  // Processes.
  void kills(const LogRecord& record) { ++fates_[record.number].kills; }
  /// Whoever ran it alone lost the lane before there was a result.
  void lost_alone(const LogRecord& record) { ++fates_[record.number].lost_alone; }
  /// The process is no more. `owned`: its lanes by the rows; what they had under way is suspect.
  void died(int process, const std::set<LaneId>& owned);

  /// Everything is over.
  void finish() const;

 private:
  struct Fate {
    std::optional<core::Disposition> disposition;
    std::int32_t failures = 0, kills = 0, lost_alone = 0;
    milliseconds waited{0};
    std::optional<Time> not_before;  // it is parked
    Answer answer = Answer::none;    // of its last call
    Wanted ordered = Wanted::nothing;
    bool parked = false, suspect = false;
  };
  /// As far as calls that were refused tell.
  struct Outside {
    std::int32_t failures = 0;
    std::optional<Time> open_since;
    std::int64_t opened = 0;                 // in the order of all that happens
    std::set<LaneId> waiting;
  };
  using Need = std::pair<int, int>;  // process, dependency
  struct Turns {
    int drains = 0, lives = 0;
  };

  Fate& fate(const LogRecord& record) { return fates_[record.number]; }
  void decide(Fate& fate, core::Disposition disposition);
  void processed(Fate& fate, const LogRecord& record);
  void parked(Fate& fate, const Outcome& outcome, Time now);
  void dead(Fate& fate, const Outcome& outcome, const Database::Lane& lane);
  bool earlier_undecided(const LogRecord& record) const;
  void within_budget(const Try& t, Time now);

  const Scenario& scenario_;
  const Settings& settings_;
  std::vector<Fate> fates_;
  std::size_t decided_ = 0;
  std::unordered_map<core::Uuid, const LogRecord*, core::UuidHash> effects_;
  std::map<std::int64_t, core::RetryBudget::Spent> deliveries_;  // by second
  std::map<Need, Outside> outside_;
  std::map<LaneId, std::int64_t> asked_;
  std::map<LaneId, Try> under_way_;
  std::map<LaneId, Turns> turns_;
  std::vector<double> jitter_;
  std::int64_t order_ = 0;
};

}  // namespace deja::simulation
