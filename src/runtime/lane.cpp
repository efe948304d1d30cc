#include "runtime/lane.h"

#include <algorithm>
#include <utility>

#include "failpoints/failpoint.h"
#include "postgres/errors.h"
#include "postgres/inspection.h"
#include "runtime/failures.h"
#include "runtime/worker.h"

namespace deja::runtime {

using std::chrono::milliseconds;

namespace {
constexpr milliseconds publish_mark_after{1000};
constexpr milliseconds whatever_ends_sessions_passes{1000};  // R3: else a record dies of others' losses
constexpr core::BackoffPolicy repeat_backoff{milliseconds(5), milliseconds(1000)};
constexpr std::size_t remembered_duplicates = 20;
}  // namespace

Lane::Lane(const Context& context, KafkaView& kafka, Relay& relay, Scheduler& scheduler, const detail::HandlerSpec& spec,
           kafka::Partition partition, std::int32_t number, std::uint64_t assignment, std::shared_ptr<LaneMetrics> metrics,
           std::shared_ptr<const PartitionFeed> feed)
    : context_(context), kafka_(kafka), relay_(relay), scheduler_(scheduler), spec_(spec), partition_(std::move(partition)), number_(number),
      assignment_(assignment), metrics_(std::move(metrics)), feed_(std::move(feed)) {}

Next Lane::step(Worker& worker) {
  {
    const std::lock_guard lock(mutex_);
    if (advancing_) {
      woken_ = true;
      return Next::idle();
    }
    running_ = true;
  }
  Next next;
  try {
    next = work(worker);
  } catch (const std::exception& e) {
    next = translate(worker, e);
  }
  if (!closed_ && closing_time_is_over()) {
    finish_closing();
    next = Next::idle();
  }
  const std::lock_guard lock(mutex_);
  if (!close_by_) next = wake_for_aside(next);
  running_ = false;
  unsettled_ = doubtful_ || verify_ || !current_.empty();
  return next;
}

// What went wrong decides what the lane does next; nothing of it loses or spends anything.
Next Lane::translate(Worker& worker, const std::exception& e) {
  if (dynamic_cast<const Fenced*>(&e)) {
    fence();
    return Next::at(context_.clock.now() + milliseconds(static_cast<int>(worker.random().unit() * 500)));
  }
  if (dynamic_cast<const DatabaseAway*>(&e)) return database_away(worker, e.what());
  if (const auto* stop = dynamic_cast<const Stop*>(&e)) return give_up(*stop);
  // Everything else comes from one of deja's own statements.
  using postgres::Failure;
  const auto failure = postgres::classify(e);
  switch (failure.kind) {
    case Failure::schema_mismatch:
    case Failure::no_permission:
      return give_up(postgres::stop_for(failure, true));
    case Failure::data:
      if (failure.sqlstate.empty()) return database_away(worker, failure.message);
      return give_up(postgres::stop_for(failure, true));
    case Failure::repeat:
      worker.drop_connection();
      return wait(worker, "waiting for a lock in the database: " + failure.message, "postgres");
    default:
      return database_away(worker, failure.message);
  }
}

// The process ends. What is queued is left; the hand-over is tried once.
Next Lane::give_up(const Stop& stop) {
  context_.stop(stop);
  bool closing;
  {
    const std::lock_guard lock(mutex_);
    closing = close_by_.has_value();
  }
  if (std::exchange(gave_up_, true) && closing) finish_closing();
  return closing ? Next::now() : Next::idle();
}

Next Lane::work(Worker& worker) {
  if (closed_) return Next::idle();
  std::optional<core::Steady::time_point> close_by;
  bool lost;
  {
    const std::lock_guard lock(mutex_);
    close_by = close_by_;
    lost = lost_.has_value();
  }
  const auto now = context_.clock.now();
  if (close_by && !owned_) {
    finish_closing();
    return Next::idle();
  }
  // an operator's order shows as a row that moved, and need not wait
  if (verify_.exchange(false) && owned_ && !doubtful_) {
    doubtful_ = true;
    settle(worker);
  }
  if (owned_ && !doubtful_ && !close_by && seen_trips_ != context_.floods.trips_so_far()) give_attempts_back(worker);
  if (parked_changed_ && owned_ && !doubtful_ && !close_by) take_changes_of_operators(worker);
  // what waits for a dependency need not wait to close; what waits for the database has to
  if (now < not_before_ && (!close_by || doubtful_)) return Next::at(close_by ? std::min(*close_by, not_before_) : not_before_);
  if (!owned_ && !take_over(worker)) return wait(worker, "Kafka does not answer where to start", "kafka");
  if (doubtful_) settle(worker);
  if (close_by) {
    refund_parked(worker);
    return behind() && row_.pause_reason.empty() && !gave_up_ && now >= std::max(not_before_, no_room_until_) && load_batch() ? run_batch(worker) : close_step(worker);
  }
  tend_outbox(worker, false);
  if (lost) return look_at_loss(worker);
  if (!row_.pause_reason.empty()) {
    set_pause("paused by an operator: " + row_.pause_reason, "operator");
    return idle_step(worker);
  }
  if (outbox_->too_many(held_back())) return idle_step(worker);
  if (drains_next()) return run_drain(worker);
  if (now < no_room_until_) return wake_for_parked(Next::at(no_room_until_));
  return load_batch() ? run_batch(worker) : wake_for_parked(idle_step(worker));
}

// Nothing to consume: make known how far Kafka has the events, so that a new owner does not publish them again.
Next Lane::idle_step(Worker& worker) {
  const auto now = context_.clock.now();
  const bool waiting = outbox_->unpublished() > 0;  // asked first: what is acknowledged after this look is marked below
  if (outbox_->acknowledged() > row_.published_seq) {
    if (now < last_commit_ + publish_mark_after) return Next::at(last_commit_ + publish_mark_after);
    mark_published(worker, false);
  }
  return waiting ? Next::at(now + milliseconds(200)) : Next::idle();
}

bool Lane::load_batch() {
  if (!current_.empty()) return true;
  const std::lock_guard lock(mutex_);
  std::size_t bytes = 0;
  while (!frozen_ && !queue_.empty() && current_.size() < context_.batch_max_records && (current_.empty() || bytes < context_.batch_max_bytes)) {
    auto& record = queue_.front();
    bytes += record.size;
    queue_bytes_ -= std::min(queue_bytes_, record.size);
    if (record.view.offset >= row_.next_offset) current_.push_back(std::move(record));
    queue_.pop_front();
  }
  if (!current_.empty()) taken_until_ = current_.back().view.offset + 1;
  return !current_.empty();
}

Next Lane::run_batch(Worker& worker) {
  DEJA_FAILPOINT(after_batch_load);
  drained_last_ = false;
  if (const auto later = wait_for_breakers()) return *later;
  const bool ordered = row_.dead_letter_at == current_.front().view.offset;
  if (!context_.batch.park_or_die && !ordered && parked_.size() >= context_.batch.park_max) return no_room(worker);
  const auto shape = next_shape();
  return run(worker, {plan_, shape, current_[shape.records - 1].view.offset, suspects_.alone() || link_losses_.alone(), false});
}

Next Lane::run(Worker& worker, const Try& batch) {
  const auto& shape = batch.shape;
  const auto n = shape.records;
  auto& connection = worker.connection();
  Worker::Handler* handler = nullptr;
  const auto* redirected = batch.drain && drain_.rows.front().redirected_to ? handler_named(*drain_.rows.front().redirected_to) : nullptr;
  runs_ = redirected ? redirected : &spec_;
  detail::HandlerInstance* instance = nullptr;
  try {
    instance = worker.handler(*runs_).instance.get();
    handler = &worker.handler(spec_);  // whose records they are, by their keys
  } catch (const std::exception& e) {
    throw Stop(exit_code::defect, "handler " + runs_->name + " cannot be made: " + e.what());
  }
  std::vector<PreparedRecord> records;
  records.reserve(n);
  for (std::size_t i = 0; i < n; ++i) {
    records.push_back(handler->preparer.prepare(batch.drain ? drain_.rows[i].record : current_[i]));
    if (!batch.drain) continue;
    records.back().parked = &drain_.rows[i];
    records.back().ordering = drain_.rows[i].ordering;  // which other rows it is ordered with
    if (const auto& replay = drain_.rows[i].replay; replay && replay->kept) records.back().known_as(*replay->kept);
  }

  BatchResult result;
  Batch transaction(context_.batch, context_.stores, connection, worker.prepared(), *runs_, *instance, row_, parked_, worker.random());
  worker.call().of(runs_->name, partition_.topic + "/" + std::to_string(partition_.number));
  transaction.watched_by(worker.call());
  transaction.guarded_by(context_.floods);
  const auto refund = [&] { batch.drain ? refund_parked(worker) : refund_start(worker); };
  try {
    const auto turn = context_.alone.enter(batch.alone);
    if (batch.alone && !shape.forced) batch.drain ? start_parked(worker) : start_suspect(worker);
    transaction.run(records, outbox_->acknowledged(), shape.savepoints ? Pass::savepoints : Pass::plain, result, shape.forced);
  } catch (const NeedsSavepoints&) {
    context_.metrics.counter("deja_batch_repeats_total", {"handler_error"}).add();
    batch.plan.needs_savepoints(batch.last);
    return Next::now();
  } catch (const FailedAtCommit& e) {
    if (shape.forced)
      throw Stop(exit_code::defect, "offset " + std::to_string(records.front().source->view.offset) + " of " + partition_.topic + "/" +
                                        std::to_string(partition_.number) + " can be neither handled nor kept as a dead letter: " + e.what());
    context_.metrics.counter("deja_batch_repeats_total", {"commit_error"}).add();
    batch.plan.needs_savepoints(batch.last);
    batch.plan.failed_at_commit(n, e.what());
    // one by one, and live records wait for a drain that has begun: the others are in the table
    if (batch.drain && drain_.rows.size() > core::BatchPlan::subtransaction_cache) drain_.rows.resize(core::BatchPlan::subtransaction_cache);
    return Next::now();
  } catch (const RepeatBatch& e) {
    context_.metrics.counter("deja_batch_repeats_total", {e.cause}).add();
    not_before_ = context_.clock.now() + core::full_jitter(repeat_backoff, batch.plan.repeat(n), worker.random().unit());
    give_turns_back();
    refund();
    if (e.cause == "55P03") name_lock_holder(connection);
    return Next::at(not_before_);
  } catch (const HandlerTooSlow& e) {
    batch.plan.too_slow(e.first, e.count, e.what());
    return Next::now();
  } catch (const NoRoom& e) {
    if (e.index == 0) return no_room(worker);
    batch.plan.stop_before(e.index);
    return Next::now();
  } catch (const DependencyAway& e) {
    if (e.index > 0) {  // those before it need not wait
      batch.plan.stop_before(e.index);
      return Next::now();
    }
    metrics_->unavailable();
    refund();
    refused_in_drain_ = batch.drain;
    return refused(worker, e);
  } catch (const Flood& e) {
    batch.plan.forget_failure();
    if (e.index > 0) {
      batch.plan.stop_before(e.index);
      return Next::now();
    }
    metrics_->unavailable();
    refund();
    refused_in_drain_ = batch.drain;
    return held_by_flood(worker, e);
  } catch (const DatabaseAway&) {
    if (result.commit_sent) {
      in_doubt_ = std::move(result);
      in_doubt_records_ = std::move(records);
    } else if (result.handlers_run && connection.broken()) {  // R3; an error that the server tells of is an outage
      auto& losses = losses_of(batch.drain);
      losses.lost(batch.drain ? drain_.rows.front().id : records.front().source->view.offset, n, connection.server_up_since());
      if (losses.alone()) after_loss_ = whatever_ends_sessions_passes;
    }
    throw;
  }
  DEJA_FAILPOINT(after_commit);
  const auto* unused_start = batch.drain && drain_.started && result.outcomes.front().gone ? &drain_.rows.front() : nullptr;
  const auto id = unused_start ? unused_start->id : 0;
  const auto starts = unused_start ? unused_start->starts - 1 : 0;
  committed(result, records);
  if (unused_start) context_.stores.parked.note_start(connection, row_, id, starts);
  DEJA_FAILPOINT(after_bookkeeping);
  return Next::now();
}

core::BatchShape Lane::next_shape() {
  const auto first = current_.front().view.offset;
  const bool alone = suspects_.alone() || link_losses_.alone();
  auto shape = plan_.next(alone ? 1 : current_.size(), first);
  if (row_.dead_letter_at == first) return {1, false, core::ForcedFailure{core::Trouble::by_operator, "an operator's decision: " + row_.dead_letter_reason}};
  if (row_.dead_letter_at > first) {
    const auto ordered = std::find_if(current_.begin(), current_.end(), [&](const auto& r) { return r.view.offset == row_.dead_letter_at; });
    shape.records = std::min(shape.records, static_cast<std::size_t>(ordered - current_.begin()));
  }
  if (alone && !shape.forced && suspects_.dead(first, context_.crash_max_starts))
    shape.forced = core::killed(context_.crash_max_starts);
  if (!shape.forced && link_losses_.dead(first, context_.crash_max_starts)) shape.forced = core::killed_connection(context_.crash_max_starts);
  return shape;
}

// R1: committed before the record runs; what it says is that a process that is gone had begun.
void Lane::start_suspect(Worker& worker) {
  const auto offset = current_.front().view.offset;
  const auto starts = suspects_.start_of(offset);
  if (!starts) return;
  if (!context_.stores.lanes.note_start(worker.connection(), row_, offset, *starts)) throw Fenced();
  suspects_.started(offset);
  DEJA_FAILPOINT(after_suspect_start);
}

// The process lives on, and the record waits: whatever ends the process now is not its doing.
void Lane::refund_start(Worker& worker) {
  if (current_.empty()) return;
  const auto refund = suspects_.refund(current_.front().view.offset);
  if (!refund) return;
  if (!context_.stores.lanes.note_start(worker.connection(), row_, refund->offset, refund->starts)) throw Fenced();
  suspects_.refunded();
  DEJA_FAILPOINT(after_suspect_refund);
}

// A lock that was waited for in vain may be a prepared transaction's: nobody but an operator ends those, so tell (C10).
void Lane::name_lock_holder(postgres::Connection& connection) {
  const auto prepared = postgres::prepared_transactions(connection);
  if (prepared.empty()) return;
  if (status().paused_cause.empty())
    context_.log.error("a lock in the database is not given back; COMMIT PREPARED or ROLLBACK PREPARED what is left over",
                       {{"topic", partition_.topic}, {"partition", std::int64_t{partition_.number}}, {"prepared_transactions", prepared}});
  set_pause("waiting for a lock in the database; prepared transactions hold theirs: " + prepared, "postgres");
}

void Lane::committed(BatchResult& result, const std::vector<PreparedRecord>& records) {
  if (runs_ == &spec_) metrics_->committed(result, records);
  else LaneMetrics(context_.metrics, partition_.topic, runs_->name).committed(result, records);
  if (result.drain == refused_in_drain_) {
    if (result.outcomes.front().disposition == core::Disposition::processed) granted();
    else need_no_more();
  }
  context_.budgets.delivered(runs_->name, result.first_deliveries);
  context_.floods.delivered(runs_->name, result.first_tries, result.failed_again);
  set_row(result.row);
  remember(result.parked);
  {
    const std::lock_guard lock(mutex_);
    for (const auto& o : result.outcomes)
      if (o.disposition == core::Disposition::duplicate && !o.settled_before()) {
        duplicates_.push_front({partition_.topic, partition_.number, o.offset, o.cause, o.first.topic, o.first.partition, o.first.offset, o.first.age_seconds});
        if (duplicates_.size() > remembered_duplicates) duplicates_.pop_back();
      }
  }
  for (const auto& o : result.outcomes)
    if (o.kept)
      context_.log.warn("record is a dead letter", {{"topic", partition_.topic}, {"partition", std::int64_t{partition_.number}}, {"offset", o.offset},
                                                    {"handler", runs_->name}, {"cause", o.cause}});
  outbox_->committed(result.first_event_seq, std::move(result.events));
  outbox_->pump();
  const auto done = static_cast<std::ptrdiff_t>(result.outcomes.size());
  losses_of(result.drain).committed(result.outcomes.size());
  if (result.drain) {
    drain_.rows.erase(drain_.rows.begin(), drain_.rows.begin() + done);
    drain_.started = false;
    drain_.done += done;
    drain_.plan.committed(drain_.rows.empty() ? std::nullopt : std::optional(drain_.done), result.savepoints);
    no_room_until_ = {};
  } else {
    current_.erase(current_.begin(), current_.begin() + done);
    suspects_.committed(result.outcomes.size());
    plan_.committed(current_.empty() ? std::nullopt : std::optional(current_.front().view.offset), result.savepoints);
  }
  last_commit_ = context_.clock.now();
  moving();
}

void Lane::fill_outbox(Worker& worker) {
  for (auto range = outbox_->wanted(); range; range = outbox_->wanted()) {
    auto events = context_.stores.outbox.read(worker.connection(), row_.id, range->from, range->until, 1000);
    DEJA_FAILPOINT(after_events_read);
    if (events.empty() || events.front().seq != range->from) {  // numbers have no gaps
      context_.log.error("committed events are missing in the outbox table; nothing after them is published",
                         {{"topic", partition_.topic}, {"partition", std::int64_t{partition_.number}}, {"missing_seq", range->from}});
      break;
    }
    outbox_->fill(std::move(events));
    outbox_->pump();
  }
}

bool Lane::mark_published(Worker& worker, bool clean) {
  postgres::LaneAdvance advance;
  advance.next_offset = row_.next_offset;
  if (clean && !behind()) {  // L7: over what was not this lane's
    const std::lock_guard lock(mutex_);
    advance.next_offset = std::max(advance.next_offset, close_at_);
  }
  advance.published_seq = outbox_->acknowledged();
  advance.clean = clean;
  auto& connection = worker.connection();
  mark_in_doubt_ = true;
  DEJA_FAILPOINT(before_mark);
  if (!context_.stores.lanes.mark(connection, row_, advance)) throw Fenced();
  DEJA_FAILPOINT(after_mark);
  mark_in_doubt_ = false;
  auto row = row_;
  row.batch_seq += 1;
  row.next_offset = advance.next_offset;
  row.published_seq = std::max(row.published_seq, advance.published_seq);
  set_row(row);
  last_commit_ = context_.clock.now();
  return true;
}

Next Lane::close_step(Worker& worker) {
  DEJA_FAILPOINT(after_close_begun);
  const auto now = context_.clock.now();
  refund_start(worker);
  refund_parked(worker);
  tend_outbox(worker, true);
  outbox_->pump();
  if ((outbox_->unpublished() > 0 || tried_again_) && !closing_time_is_over()) return Next::at(now + milliseconds(50));
  mark_published(worker, outbox_->unpublished() == 0);
  finish_closing();
  return Next::idle();
}

// While closing: records below the common offset are still to be worked.
bool Lane::behind() const {
  const std::lock_guard lock(mutex_);
  return close_at_ > row_.next_offset && (!current_.empty() || !queue_.empty());
}

bool Lane::closing_time_is_over() const {
  const std::lock_guard lock(mutex_);
  return close_by_ && context_.clock.now() >= *close_by_;
}

void Lane::finish_closing() {
  if (outbox_) outbox_->abandon();
  forget_aside();
  need_no_more();
  current_.clear();
  if (closed_.exchange(true)) return;
  kafka_.lane_closed(partition_, assignment_);
  DEJA_FAILPOINT(after_lane_closed);
}

Next Lane::wait(Worker& worker, std::string cause, std::string blocked_by, std::optional<milliseconds> at_least) {
  const auto delay = std::max(at_least.value_or(milliseconds(10)), core::full_jitter(context_.backoff, failures_++, worker.random().unit()));
  not_before_ = context_.clock.now() + delay;
  set_pause(std::move(cause), std::move(blocked_by));
  return Next::at(not_before_);
}

void Lane::set_pause(std::string cause, std::string blocked_by) {
  const std::lock_guard lock(mutex_);
  if (paused_cause_.empty()) paused_since_ = context_.clock.now();
  paused_cause_ = std::move(cause);
  blocked_by_ = std::move(blocked_by);
}

Next Lane::database_away(Worker& worker, const std::string& cause) {
  worker.drop_connection();
  doubtful_ = owned_;
  context_.dependencies.down("postgres", cause);
  return wait(worker, "postgres is away: " + cause, "postgres", std::exchange(after_loss_, std::nullopt));
}

void Lane::moving() {
  failures_ = 0;
  const std::lock_guard lock(mutex_);
  paused_cause_.clear();
  blocked_by_.clear();
}

}  // namespace deja::runtime
