#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <deja/handler.h>

#include "core/batch_plan.h"
#include "core/link_losses.h"
#include "core/parked_set.h"
#include "core/source_record.h"
#include "core/status.h"
#include "core/suspects.h"
#include "kafka/partition.h"
#include "runtime/batch.h"
#include "runtime/breakers.h"
#include "runtime/context.h"
#include "runtime/failures.h"
#include "runtime/kafka_view.h"
#include "runtime/lane_metrics.h"
#include "runtime/lane_outbox.h"
#include "runtime/relay.h"
#include "runtime/scheduler.h"

// One lane of one assignment: taken over, fed by the polling thread, worked by one worker at a time, closed.

namespace deja::runtime {

/// How far the polling thread has come in a partition: every record below `consumed` was given to its lane.
struct PartitionFeed {
  std::atomic<std::int64_t> consumed{-1};
};

class Lane final : public Task, public std::enable_shared_from_this<Lane> {
 public:
  Lane(const Context& context, KafkaView& kafka, Relay& relay, Scheduler& scheduler, const detail::HandlerSpec& spec, kafka::Partition partition,
       std::int32_t number, std::uint64_t assignment, std::shared_ptr<LaneMetrics> metrics, std::shared_ptr<const PartitionFeed> feed);
  ~Lane() override;

  // The polling thread's side.
  /// From now on records are taken, in log order from the row's next offset; until then, and after a fence, they are dropped.
  void accept();
  enum class Pushed { queued, first_in_queue, dropped };
  Pushed push(core::SourceRecord record);
  std::size_t queued() const;
  std::size_t queued_bytes() const;
  struct Reached {
    std::int64_t offset = -1;  // every record of the lane below it is committed or under way; -1: not owned
    bool drained = false;      // nothing is queued or under way
  };
  /// Takes nothing more from the queue until close().
  Reached freeze();
  /// Finish the batch in flight and what is queued below `until`, publish what is committed, mark the row clean; all that until
  /// `deadline`. `until` -1: only the batch in flight. Of a second call only the deadline counts.
  void close(core::Steady::time_point deadline, std::int64_t until = -1);
  /// The wanted offset seems to be missing in the log; `certain`: the log is another one. Nothing more is consumed, unless a second
  /// look finds the offset there.
  void log_lost(std::string error, bool certain);
  bool closed() const { return closed_; }
  bool stopped() const;  // by log_lost
  std::uint64_t assignment() const { return assignment_; }
  const kafka::Partition& partition() const { return partition_; }

  /// For Kafka's committed offset, which feeds lag tools: where the database stands, and the owner's mark.
  struct Progress {
    std::int64_t next_offset = -1;
    std::string token;
  };
  Progress progress() const;

  /// For the supervisor's look at the rows: the row as this owner left it; nothing while it is not owned or a batch is under way.
  std::optional<postgres::LaneState> settled_row() const;
  /// The row as this owner last knew it, whatever is under way.
  std::optional<postgres::LaneState> last_row() const;
  /// The row is not as it was left: look again before anything else.
  void verify() {
    verify_ = true;
    scheduler_.wake(shared_from_this());
  }

  /// Operators changed parked records of the lane.
  void parked_changed() {
    parked_changed_ = true;
    scheduler_.wake(shared_from_this());
  }

  /// Where it stands: past what the partition has for other lanes, when nothing waits here.
  std::int64_t position() const;
  /// An idle lane that the partition has left behind is held still, to be moved on (L7); every begin is followed by an end.
  std::optional<postgres::LaneStore::IdleLane> begin_advance();
  /// `moved`: nothing when it is not known whether it was.
  void end_advance(const postgres::LaneStore::IdleLane& lane, std::optional<bool> moved);

  core::LaneStatus status() const;
  std::vector<core::RecentDuplicate> recent_duplicates() const;
  std::int64_t unpublished() const;
  std::int32_t id() const;

  Next step(Worker& worker) override;

 private:
  Next work(Worker& worker);
  postgres::LaneName name() const;
  std::string partition_options() const;
  core::LaneMap map() const;
  bool take_over(Worker& worker);
  std::optional<postgres::LaneState> take_row(Worker& worker);
  void fetch();
  void notice_foreign_offset(Worker& worker, const postgres::LaneState& row, const std::optional<kafka::CommittedOffset>& mark);
  bool create_rows(Worker& worker, const postgres::LaneName& name);
  std::optional<std::int64_t> start_offset(const kafka::Partition& partition);
  Next look_at_loss(Worker& worker);
  Next idle_step(Worker& worker);
  Next translate(Worker& worker, const std::exception& e);
  Next give_up(const Stop& stop);
  bool closing_time_is_over() const;
  void settle(Worker& worker);
  void fill_outbox(Worker& worker);
  void tend_outbox(Worker& worker, bool closing);
  void reload_aside(Worker& worker);
  void know_aside(const postgres::StuckView& view);
  std::set<std::string> held_back() const;
  void set_aside(Worker& worker);
  void settle_tried(Worker& worker);
  void try_again(Worker& worker);
  void forget_aside();
  Next wake_for_aside(Next next) const;
  bool load_batch();
  Next run_batch(Worker& worker);
  core::BatchShape next_shape();
  void start_suspect(Worker& worker);
  void refund_start(Worker& worker);
  /// One try at a batch, of live records or of parked ones.
  struct Try {
    core::BatchPlan& plan;
    core::BatchShape shape;
    std::int64_t last = 0;  // of the plan's offsets
    bool alone = false, drain = false;
  };
  Next run(Worker& worker, const Try& batch);
  const detail::HandlerSpec* handler_named(const std::string& name) const;
  void keep_to_one_handler();
  core::LinkLosses& losses_of(bool drain) { return drain ? drain_losses_ : link_losses_; }
  void committed(BatchResult& result, const std::vector<PreparedRecord>& records);
  bool drains_next();
  Next run_drain(Worker& worker);
  bool load_drain(Worker& worker);
  std::size_t cut_runs(const std::vector<std::int64_t>& ids);
  void bound(std::vector<std::int64_t>& ids) const;
  void ask_budget(Worker& worker, std::vector<std::int64_t>& ids);
  std::optional<core::Steady::time_point> next_drain() const;
  Next no_room(Worker& worker);
  void start_parked(Worker& worker);
  void refund_parked(Worker& worker);
  void load_parked(Worker& worker, bool suspects);
  void reload_parked(Worker& worker);
  void take_changes_of_operators(Worker& worker);
  void remember(const ParkedChanges& changes);
  void give_attempts_back(Worker& worker);
  void forget_parked();
  Next wake_for_parked(Next next) const;
  bool mark_published(Worker& worker, bool clean);
  Next close_step(Worker& worker);
  bool behind() const;
  void finish_closing();
  void fence();
  Next wait(Worker& worker, std::string cause, std::string blocked_by, std::optional<std::chrono::milliseconds> at_least = std::nullopt);
  std::optional<Next> wait_for_breakers();
  Next breaker_is_open(const Need& need, core::Steady::time_point ask_again);
  Next unless_closing(Next later) const;
  Next refused(Worker& worker, const DependencyAway& e);
  Next held_by_flood(Worker& worker, const Flood& e);
  std::string blocker(const Need& need) const;
  void give_turns_back();
  void granted();
  void need_no_more();
  void name_lock_holder(postgres::Connection& connection);
  void set_pause(std::string cause, std::string blocked_by);
  Next database_away(Worker& worker, const std::string& cause);
  void moving();
  void set_row(const postgres::LaneState& row);

  const Context& context_;
  KafkaView& kafka_;
  Relay& relay_;
  Scheduler& scheduler_;
  const detail::HandlerSpec& spec_;
  const detail::HandlerSpec* runs_ = &spec_;  // the handler of the batch: another one where an operator redirected records
  const kafka::Partition partition_;
  const std::int32_t number_;
  const std::uint64_t assignment_;
  const std::shared_ptr<LaneMetrics> metrics_;
  const std::shared_ptr<const PartitionFeed> feed_;

  mutable std::mutex mutex_;
  std::deque<core::SourceRecord> queue_;
  std::size_t queue_bytes_ = 0;
  std::optional<core::Steady::time_point> close_by_;
  struct Loss {
    std::string error;
    bool certain = false, reported = false;
  };
  std::optional<Loss> lost_;
  bool owned_ = false, running_ = false, accepting_ = false;
  bool unsettled_ = false;                  // between steps: records taken and not committed, or a row to be looked at
  bool advancing_ = false, woken_ = false;  // held still while it is moved on; something came meanwhile
  bool frozen_ = false;
  std::int64_t taken_until_ = -1, close_at_ = -1;
  postgres::LaneState row_;
  std::string paused_cause_, blocked_by_;
  core::Steady::time_point paused_since_{};
  std::deque<core::RecentDuplicate> duplicates_;
  std::shared_ptr<LaneOutbox> outbox_;
  std::atomic<bool> verify_{false}, closed_{false}, parked_changed_{false};
  std::atomic<std::int64_t> parked_records_{0};
  std::atomic<bool> waits_for_budget_{false};

  // The worker's side alone, from step to step.
  std::deque<core::SourceRecord> current_;  // taken from the queue, not yet committed
  bool doubtful_ = false;                   // a commit of unknown outcome, or a row that moved
  std::optional<BatchResult> in_doubt_;     // what it did, if it happened
  std::vector<PreparedRecord> in_doubt_records_;
  core::BatchPlan plan_;
  core::Suspects suspects_;
  core::LinkLosses link_losses_, drain_losses_;  // of live records by offset, of parked ones by id
  std::optional<std::chrono::milliseconds> after_loss_;
  core::ParkedSet parked_;
  struct Drain {
    std::vector<postgres::ParkedRow> rows;  // taken from the table, not yet committed
    core::BatchPlan plan;                   // its offsets are positions in `rows` as they were taken
    std::int64_t done = 0;                  // so many of them are not there any more
    bool alone = false, started = false;    // started: its start is on record, by this owner
  };
  Drain drain_;
  struct FailedAttempt {
    core::Steady::time_point at;
    std::int64_t id = 0;  // the parked row's
    std::string handler, fingerprint;
  };
  std::deque<FailedAttempt> failed_attempts_;  // within the flood guard's window
  std::uint64_t seen_trips_ = 0;               // of flood guards
  std::string flood_cause_;
  bool drained_last_ = false;                            // live records and parked ones take turns
  bool refused_in_drain_ = false;                        // what needs_ is about
  core::Steady::time_point no_room_until_{};             // no live records before
  core::Steady::time_point budget_until_{};              // no redeliveries before
  bool mark_in_doubt_ = false;              // the commit of unknown outcome was a mark
  std::vector<Need> needs_;                 // what the front record's handler was refused
  std::uint32_t failures_ = 0;              // in a row, for the delay
  core::Steady::time_point not_before_{}, last_commit_{};
  bool gave_up_ = false;                                   // the process has to end: no more batches
  // Events that were set aside.
  struct Aside {
    std::uint32_t failures = 0;  // in a row
    core::Steady::time_point not_before{};
    std::int64_t page = 1;       // so many go together: one, while the one that is refused is looked for
    std::int64_t most = 2'000;   // in a page: many small ones can be too large for one request
    bool coming_back = false;    // Kafka took what was tried last
  };
  std::map<std::string, Aside> aside_;     // topics that have events which wait
  std::shared_ptr<Resending> tried_again_;
  std::int64_t aside_version_ = 0;         // of what operators changed, when it was read last
  std::int64_t tried_version_ = 0;         // the same, when what is tried was read
  bool aside_stale_ = false;               // an operator may have changed what there is
  bool aside_in_doubt_ = false;            // whether what was to be set aside is in the table
  std::optional<core::Steady::time_point> waits_for_row_;  // since when another owner's transaction holds it
  bool look_for_witness_ = true;                           // not any more when it is known to be gone
};

}  // namespace deja::runtime
