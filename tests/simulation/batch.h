#pragma once

#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/batch_plan.h"
#include "simulation/checker.h"
#include "simulation/database.h"

namespace deja::simulation {

class Simulation;

/// What the owner of the lane has to remember, or to forget, of parked records.
struct ParkedChanges {
  std::optional<std::vector<ParkedRow>> reloaded;
  std::vector<ParkedRow> added;
  std::vector<std::pair<std::int64_t, milliseconds>> again;
  std::vector<std::int64_t> removed, promoted;
};

struct BatchResult {
  LaneRow row;
  std::vector<Outcome> outcomes;
  ParkedChanges parked;
  bool drain = false;
  std::int64_t first_deliveries = 0;
};

/// How a batch ended, as src/runtime/failures.h has it.
struct BatchEnd {
  enum class Kind { committed, in_doubt, fenced, needs_savepoints, repeat, no_room, dependency_away, process_ended };
  Kind kind = Kind::committed;
  std::size_t index = 0;  // of the record that is to blame
  int dependency = 0;
};

/// One try at a batch transaction, as src/runtime/batch*.cpp make it.
class Batch {
 public:
  Batch(Simulation& simulation, const Checker::Try& t, std::size_t lane, const LaneRow& mine, const core::ParkedSet& parked,
        const std::vector<ParkedRow>& rows, const core::BatchShape& shape);
  BatchEnd run(BatchResult& result);

 private:
  struct Slot {
    const LogRecord* record = nullptr;
    const ParkedRow* row = nullptr;
    Outcome outcome{};
    bool settled = false;
  };
  struct KeyUse {
    std::int64_t digest = 0;
    bool done = false;  // else an effect of before
  };

  void see_changes_of_operators();
  void look_at_parked();
  void run(Slot& slot);
  void call(Slot& slot);
  void fail(Slot& slot, core::Trouble trouble);
  void park(Slot& slot, std::optional<milliseconds> delay);
  bool settle_as_twin(Slot& slot);
  bool in_its_turn(const Slot& slot) const;
  void hold_back(const Slot& slot);
  bool held_back(const Slot& slot) const;
  void leave(Slot& slot);
  bool has_room(const Slot& slot) const;
  bool has_to_wait(const Slot& slot) const;
  const KeyUse* known_use(const LogRecord& record) const;
  void end(BatchEnd::Kind kind, const Slot& slot, int dependency = 0);
  void fill(BatchResult& result);
  void apply(BatchResult& result);
  const core::ParkedSet& parked() const { return reloaded_ ? *reloaded_ : parked_; }

  Simulation& simulation_;
  const Checker::Try& try_;
  const std::size_t lane_;
  const LaneRow mine_;
  const core::ParkedSet& parked_;
  const std::vector<ParkedRow>& rows_;
  const core::BatchShape& shape_;
  std::optional<core::ParkedSet> reloaded_;
  std::vector<ParkedRow> changed_rows_;
  std::vector<Slot> slots_;
  std::vector<const Slot*> parked_here_;
  std::map<std::uint64_t, std::int64_t> waiting_;  // what comes after this offset
  std::unordered_map<core::Uuid, KeyUse, core::UuidHash> uses_;
  std::vector<const LogRecord*> kept_keys_;
  std::optional<BatchEnd> end_;
};

}  // namespace deja::simulation
