#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <deja/handler.h>

#include "core/batch_plan.h"
#include "core/disposition.h"
#include "core/group_size.h"
#include "core/outbound_event.h"
#include "core/parked_set.h"
#include "core/random.h"
#include "core/redelivery.h"
#include "core/source_record.h"
#include "runtime/collector.h"
#include "runtime/floods.h"
#include "runtime/prepared_record.h"
#include "runtime/stores.h"
#include "runtime/thrown.h"
#include "runtime/watchdog.h"

// The batch transaction: compare-and-set, claim, handlers in log order, events, close, COMMIT (design: "the batch transaction").

namespace deja::runtime {

/// What all batches of a process share. Read-only.
struct BatchSettings {
  std::string scope;
  std::string dlq_topic;  // empty: database only
  bool quarantine_conflicts = true;
  std::vector<std::string> dlq_headers_allow = {"*"}, dlq_headers_redact = {};
  std::string group;
  std::chrono::milliseconds handler_timeout{60'000};
  std::size_t max_event_bytes = 1'000'000;  // librdkafka's default of message.max.bytes
  core::RetryPolicy retry{1, {}, std::chrono::milliseconds(0)};  // of handlers that say nothing else
  std::size_t park_max = 10'000, park_key_max = 1'000;           // records of a lane, and of an ordering key
  bool park_or_die = false;                                      // at these bounds: a dead letter, else the lane pauses
  bool hold = false;                                             // later records of its ordering key wait behind a dead letter
};

/// How one record ended.
struct RecordOutcome {
  std::int64_t offset = 0;
  core::Disposition disposition = core::Disposition::processed;
  std::string cause;  // of a duplicate, conflict or dead letter
  std::string error;
  bool kept = false;         // as a dead letter
  bool gone = false;         // its parked row is not what it was: it was left alone, and this is no outcome
  postgres::KeyHolder first;  // of a duplicate or conflict: the one that came first

  /// It had its disposition before: a redelivery, which counts as no record.
  bool settled_before() const { return disposition == core::Disposition::duplicate && cause == core::cause::redelivery; }
};

/// As the owner remembers it from `now` on.
core::ParkedRecord remembered(const postgres::ParkedSummary& summary, core::Steady::time_point now);
core::ParkedSet remembered(const postgres::ParkedView& view, core::Steady::time_point now);

/// What the owner of the lane has to remember, or to forget, of parked records.
struct ParkedChanges {
  std::optional<postgres::ParkedView> reloaded;  // all of them, since an operator changed some; before what follows
  std::vector<postgres::ParkedSummary> added;
  std::vector<std::pair<std::int64_t, std::chrono::milliseconds>> again;  // and when
  std::vector<std::int64_t> removed, promoted;                            // promoted: due now
  std::vector<std::pair<std::int64_t, std::string>> failed;               // an attempt of theirs, with its fingerprint
  std::vector<std::uint64_t> released;                                    // replays ended that held them; before those that are held
  std::vector<postgres::HeldOrdering> held;                               // by dead letters
};

struct BatchResult {
  postgres::LaneState row;  // as committed
  std::vector<RecordOutcome> outcomes;
  std::int64_t first_event_seq = 1;
  std::vector<core::OutboundEvent> events;
  ParkedChanges parked;
  bool drain = false;  // of parked records
  core::FirstTries first_tries;                        // for the flood guard
  std::vector<std::string> failed_again;               // fingerprints of those that had failed before
  std::int64_t first_deliveries = 0, redeliveries = 0;  // records that the handler was given
  std::int64_t handler_starts = 0, handler_failures = 0, handler_rejections = 0;
  std::vector<double> call_seconds;  // of each handler call
  double claim_seconds = 0, commit_seconds = 0;
  core::SavepointUse savepoints;
  bool handlers_run = false;  // or their statements: if the link is lost meanwhile, a record may have done it
  bool commit_sent = false;  // all of the above stands if the commit turns out to have happened
};

enum class Pass {
  plain,       // no savepoints
  savepoints,  // one for each group of records, after something failed
};

/// One try at a batch. Throws what runtime/failures.h has, and Stop when the process must end.
class Batch {
 public:
  Batch(const BatchSettings& settings, const Stores& stores, postgres::Connection& connection, postgres::PreparedStatements& prepared,
        const detail::HandlerSpec& spec, detail::HandlerInstance& handler, const postgres::LaneState& row, const core::ParkedSet& parked,
        core::Random& random);
  ~Batch();

  /// Tells the watchdog of the handler calls.
  void watched_by(CallInProgress& call) { call_ = &call; }
  /// Asks the flood guard before a failure counts.
  void guarded_by(Floods& floods) { floods_ = &floods; }

  /// Once per object. `records` are the lane's next ones, or parked ones: heads, each with some of those behind it. `published_seq`: how far Kafka has the lane's events. `forced`: the only record fails with it without
  /// being run (its failure showed only at COMMIT, or ends the process). When it throws DatabaseAway with result.commit_sent, the outcome is unknown.
  void run(std::span<const PreparedRecord> records, std::int64_t published_seq, Pass pass, BatchResult& result,
           const std::optional<core::ForcedFailure>& forced = std::nullopt);

 private:
  struct Slot;
  enum class KeyState { claimed, unclaimed, done, foreign };
  struct KeyUse {
    KeyState state = KeyState::foreign;
    std::int64_t digest = 0;      // of who came first
    std::int64_t row_offset = 0;  // of the record whose claim inserted the row, in this transaction
    postgres::KeyHolder holder;
  };

  void leave_to_their_rows();
  void look_at_parked();
  void see_changes_of_operators();
  void claim();
  bool settle_without_running(Slot& slot);
  const KeyUse* known_use(const PreparedRecord& record) const;
  using Slice = std::vector<Slot*>;
  void run_singly();
  void run_in_slices();
  Slice next_slice();
  void run_slice(Slice slice);
  std::optional<Thrown> call_handler(Slot& slot);
  void call(Slot& slot);
  void run_group(const Slice& group);
  void cut_group(const Slice& group, std::size_t at, const Thrown& thrown);
  void run_span(const Slice& span);
  std::size_t cut_by_rejection(const Slice& span);
  void run_halves(const Slice& slice);
  std::optional<Thrown> guarded_call(const std::function<void()>& handle, const Slot& first, std::size_t count);
  void succeed(Slot& slot);
  void fail(Slot& slot, core::Trouble trouble, std::string error, const std::string& type);
  void fail_as_forced(Slot& slot);
  void park(Slot& slot, std::optional<postgres::ParkedFailure> failure, std::chrono::milliseconds delay);
  // Where in the log; records of a log before come first.
  using Place = std::pair<bool, std::int64_t>;
  Place place_of(const Slot& slot) const;
  void hold_back(const Slot& slot);
  bool held_back(const Slot& slot) const;
  bool has_to_wait(const Slot& slot) const;
  bool has_room(const Slot& slot) const;
  bool settle_as_twin(Slot& slot);
  bool leave_in_its_place(Slot& slot);
  void obey(Slot& slot);
  void keep_keys(const Slot& slot);
  void give_up_keys(const Slot& slot);
  const core::ParkedSet& parked() const { return reloaded_ ? *reloaded_ : parked_; }
  void close_parked(BatchResult& result);
  void promote_reread(ParkedChanges& changes, const std::vector<postgres::NewParked>& records);
  /// What was written of dead letters.
  struct Letters {
    std::vector<postgres::DeadLetterId> ids;   // new ones, and those that are open again
    std::vector<core::DeadLetterNotice> notices;     // of replays that ended well
    std::vector<std::uint64_t> released;             // the ordering keys of these
  };
  Letters close_letters();
  static const core::DeadLetterNotice* notice_of(const Slot& slot, const Letters& letters);
  void remember_held(BatchResult& result, const Letters& letters) const;
  void look_for_flood(BatchResult& result);
  void release_claims();
  std::vector<core::OutboundEvent> make_events(const Letters& letters);
  void close(BatchResult& result, const postgres::LaneAdvance& advance);
  void commit(BatchResult& result);
  void set_savepoint();
  bool keep();
  void take_back();
  [[noreturn]] void translate_and_throw(const std::exception& e);
  void keep_session_alive();

  const BatchSettings& settings_;
  const Stores& stores_;
  postgres::Connection& connection_;
  postgres::PreparedStatements& prepared_;
  const detail::HandlerSpec& spec_;
  detail::HandlerInstance& handler_;
  postgres::LaneState row_;
  const core::ParkedSet& parked_;  // as the owner remembers them
  core::Random& random_;
  std::optional<core::ParkedSet> reloaded_;
  postgres::ParkedView changed_rows_;
  bool drain_ = false;  // of parked records
  // Of this batch, beyond what was parked before.
  std::unordered_map<std::uint64_t, Place> waiting_;  // ordering keys: what comes after this has to wait
  std::vector<const Slot*> parked_here_;
  Pass pass_ = Pass::plain;
  // Whose statement it is that fails: deja's own failures are no record's fault.
  enum class Stage { beginning, handlers, closing, committing } stage_ = Stage::beginning;
  std::chrono::steady_clock::time_point last_statement_{};
  std::optional<core::ForcedFailure> forced_;

  Collector collector_;
  std::vector<Slot> slots_;
  std::unordered_map<core::Uuid, KeyUse, core::UuidHash> keys_;
  std::optional<Thrown> flush_failure_;
  core::GroupSize group_size_;
  core::SavepointUse savepoints_;
  postgres::BatchStart start_{0, 0, 0};
  std::string deferred_constraints_;
  core::FramedHash hash_;
  std::int64_t starts_ = 0, failures_ = 0, rejections_ = 0;
  std::vector<double> call_seconds_;
  CallInProgress* call_ = nullptr;
  Floods* floods_ = nullptr;
};

}  // namespace deja::runtime
