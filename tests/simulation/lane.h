#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "core/batch_plan.h"
#include "core/parked_set.h"
#include "core/suspects.h"
#include "simulation/batch.h"

namespace deja::simulation {

class Process;
class Simulation;

/// One lane of one assignment, as src/runtime/lane*.cpp have it; each call of step() is one of Lane::step() there, and a batch takes time.
class Lane {
 public:
  Lane(Simulation& simulation, Process& process, std::int32_t partition, std::size_t number)
      : simulation_(simulation), process_(process), partition_(partition), number_(number) {}

  std::int32_t partition() const { return partition_; }
  bool closed() const { return closed_; }
  bool owns_row() const;

  void wake();
  void wake(Time when);
  /// Hand over in order.
  void close();
  /// The partition is somebody else's by now.
  void lose();
  /// The process is no more.
  void die() { dead_ = true; }
  /// Its turn has come in the process.
  void begin();
  void look_at_row();

 private:
  struct Drain {
    std::vector<ParkedRow> rows;
    core::BatchPlan plan;
    std::int64_t done = 0;  // rows that are not there any more
    bool alone = false, started = false;
  };

  void step();
  std::optional<Time> work();
  std::optional<Time> take_over();
  std::optional<Time> fence();
  bool settle();
  std::optional<Time> close_step();
  bool load_batch();
  bool live_waiting() const;
  std::optional<Time> run_batch();
  std::optional<Time> run_drain();
  core::BatchShape next_shape();
  bool drains_next();
  bool drain_is_due() const;
  bool load_drain();
  void add_run(const ParkedRow& head, std::size_t behind, const std::vector<std::int64_t>& picked);
  void ask_budget(std::vector<std::int64_t>& ids);
  std::optional<Time> next_drain() const;
  std::optional<Time> sooner(std::optional<Time> when) const;
  std::optional<Time> run(Checker::Try t, core::BatchShape shape);
  bool commit_start();
  void refund();
  bool note_start(std::int64_t offset, std::int32_t starts);
  bool note_parked_start(ParkedRow& row, std::int32_t starts);
  void finish();
  void end(const BatchEnd& how, BatchResult& result);
  void committed(BatchResult& result);
  void remember(const ParkedChanges& changes);
  bool reload_parked();
  void forget_parked();
  std::optional<Time> no_room();
  std::optional<Time> refused(int dependency);
  std::optional<Time> wait_for_breakers();
  Time wait();
  void give_turns_back();
  void granted();
  void need_no_more();
  void finish_closing();
  Time soon() const;

  Simulation& simulation_;
  Process& process_;
  const std::int32_t partition_;
  const std::size_t number_;  // of all lanes

  std::optional<Time> wake_at_;
  std::uint64_t wakes_ = 0;
  bool closing_ = false, closed_ = false, lost_ = false, dead_ = false;
  bool taken_ = false, owned_ = false;  // the row; all that belongs to it
  bool unclean_ = false;                // the owner before did not hand over in order
  LaneRow row_;
  core::Suspects suspects_;
  core::ParkedSet parked_;
  core::BatchPlan plan_;
  Drain drain_;
  std::deque<const LogRecord*> current_;
  std::size_t position_ = 0;  // in the lane's records
  bool doubtful_ = false, parked_changed_ = false;
  std::optional<BatchResult> in_doubt_;
  bool drained_last_ = false, refused_in_drain_ = false;
  Time no_room_until_{}, budget_until_{}, not_before_{};
  std::vector<int> needs_;  // dependencies that the front record was refused by
  std::uint32_t failures_ = 0;

  std::optional<Checker::Try> try_;  // under way, or waiting for its turn
  core::BatchShape shape_;
};

}  // namespace deja::simulation
