#include "runtime/batch.h"

#include <algorithm>
#include <chrono>

#include <deja/errors.h>

#include "postgres/constraints.h"
#include "postgres/errors.h"
#include "postgres/transaction_control.h"
#include "runtime/batch_slot.h"
#include "runtime/dead_letter_event.h"
#include "runtime/failures.h"
#include "runtime/handler_event.h"
#include "runtime/thrown.h"

namespace deja::runtime {

using core::Disposition;

namespace {
double seconds_since(std::chrono::steady_clock::time_point t) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - t).count();
}

// What a failure of the database means for the whole batch; returns when it is one record's own.
void raise_unless_own(const postgres::SqlFailure& failure, const std::string& handler) {
  using postgres::Failure;
  const std::string text = failure.message + (failure.sqlstate.empty() ? "" : " (" + failure.sqlstate + ")");
  switch (failure.kind) {
    case Failure::lost_connection:
    case Failure::unavailable:
    case Failure::login_refused:
    case Failure::no_database:
    case Failure::configuration:
      throw DatabaseAway(text);
    case Failure::repeat:
      throw RepeatBatch(failure.sqlstate, text);
    case Failure::no_permission:
      throw Stop(exit_code::no_permission, "handler " + handler + " lacks a right in the database: " + text + "; grant it, then start again");
    case Failure::schema_mismatch:
      throw Stop(exit_code::configuration, "handler " + handler + " does not fit the database: " + text +
                                               "; create what is missing (--init makes the program's own tables), then start again");
    case Failure::standby:  // a lost transaction block: sessions are read-only outside of it
    case Failure::own_timeout:
    case Failure::data:
      return;
  }
}
// A statement of deja's own failed.
[[noreturn]] void raise_own(const postgres::SqlFailure& failure) {
  using postgres::Failure;
  switch (failure.kind) {
    case Failure::own_timeout:
    case Failure::repeat:
      throw RepeatBatch(failure.sqlstate.empty() ? "timeout" : failure.sqlstate, failure.message);
    case Failure::data:
    case Failure::schema_mismatch:
    case Failure::no_permission:
      throw postgres::stop_for(failure, true);
    default:
      throw DatabaseAway(failure.message);
  }
}
}  // namespace

Batch::Batch(const BatchSettings& settings, const Stores& stores, postgres::Connection& connection, postgres::PreparedStatements& prepared,
             const detail::HandlerSpec& spec, detail::HandlerInstance& handler, const postgres::LaneState& row)
    : settings_(settings), stores_(stores), connection_(connection), prepared_(prepared), spec_(spec), handler_(handler), row_(row),
      collector_(connection, prepared, settings.max_event_bytes) {}

Batch::~Batch() = default;

void Batch::run(std::span<const PreparedRecord> records, std::int64_t published_seq, Pass pass, BatchResult& result,
                const std::optional<std::string>& forced_error) {
  pass_ = pass;
  forced_error_ = forced_error;
  slots_.reserve(records.size());
  for (const auto& r : records) slots_.emplace_back(r);
  const auto& last = *records.back().source;
  postgres::LaneAdvance advance;
  advance.next_offset = last.view.offset + 1;
  advance.published_seq = published_seq;
  advance.witness = witness_of(last, hash_);
  try {
    if (pass_ == Pass::savepoints) deferred_constraints_ = postgres::deferred_constraints(connection_);
    const auto started = stores_.lanes.begin(connection_, row_, advance);
    if (!started) throw Fenced();
    start_ = *started;
    const auto before_claim = std::chrono::steady_clock::now();
    claim();
    result.claim_seconds = seconds_since(before_claim);
    stage_ = Stage::handlers;
    last_statement_ = std::chrono::steady_clock::now();
    spec_.batch ? run_in_batches() : run_singly();
    collector_.flush();
    stage_ = Stage::closing;
    close(result, advance);
    stage_ = Stage::committing;
    commit(result);
  } catch (const std::exception& e) {
    roll_back();
    translate_and_throw(e);
  }
}

void Batch::roll_back() {
  try {
    if (!connection_.broken()) postgres::roll_back(connection_);
  } catch (const std::exception&) {  // the link is gone, and the transaction with it
  }
}

// Called inside a catch block: batch outcomes pass as they are, errors of the database become one.
void Batch::translate_and_throw(const std::exception& e) {
  if (is_batch_outcome(e)) throw;
  const auto failure = postgres::classify(e, !connection_.broken());
  if (stage_ == Stage::beginning || stage_ == Stage::closing) raise_own(failure);
  raise_unless_own(failure, spec_.name);
  if (pass_ == Pass::plain) throw NeedsSavepoints(failure.message);
  throw FailedAtCommit(failure.message);
}

bool Batch::settle_without_running(Slot& slot) {
  const auto& p = *slot.prepared;
  if (!p.failed_cause.empty()) {
    fail(slot, p.failed_cause, "key", p.error, p.failed_cause);
    return true;
  }
  if (!p.key) return false;
  auto& use = keys_.at(*p.key);
  if (use.state == KeyState::claimed || use.state == KeyState::unclaimed) return false;
  slot.settled = true;
  slot.outcome.first = use.holder;
  if (p.digest == use.digest) {
    slot.outcome.disposition = Disposition::duplicate;
    slot.outcome.cause = core::cause::producer;
    return true;
  }
  const std::string position = use.holder.topic + "/" + std::to_string(use.holder.partition) + "/" + std::to_string(use.holder.offset);
  if (settings_.quarantine_conflicts)
    fail(slot, core::cause::conflict, "claim", "the same key came first with another payload, at " + position, "conflict");
  slot.outcome.disposition = Disposition::conflict;
  slot.outcome.cause = core::cause::conflict;
  return true;
}

void Batch::run_singly() {
  for (auto& slot : slots_)
    if (!settle_without_running(slot)) call(slot);
}

void Batch::call(Slot& slot) {
  if (forced_error_) return fail(slot, core::cause::exhausted, "commit", *forced_error_, "commit");
  if (pass_ == Pass::savepoints) postgres::set_savepoint(connection_);
  const Record record(slot.prepared->source->view);
  const auto thrown = guarded_call([&] { handler_.handle(record, collector_); }, slot, 1);
  if (!thrown && keep()) return succeed(slot);
  const auto& failure = thrown ? *thrown : *flush_failure_;
  take_back();
  fail(slot, failure.cause, "handler", failure.message, failure.type);
}

void Batch::run_in_batches() {
  for (;;) {
    std::vector<Slot*> slice;
    std::unordered_set<core::Uuid, core::UuidHash> keys_of_slice;
    for (auto& slot : slots_) {
      if (slot.settled) continue;
      // a twin of a record in this slice waits for what becomes of it
      if (slot.prepared->key && keys_of_slice.contains(*slot.prepared->key)) continue;
      if (settle_without_running(slot)) continue;
      if (slot.prepared->key) keys_of_slice.insert(*slot.prepared->key);
      slice.push_back(&slot);
    }
    if (slice.empty()) return;
    run_slice(std::move(slice));
  }
}

void Batch::run_slice(std::vector<Slot*> slice) {
  if (forced_error_) return fail(*slice.front(), core::cause::exhausted, "commit", *forced_error_, "commit");
  if (pass_ == Pass::savepoints) postgres::set_savepoint(connection_);
  std::vector<const PreparedRecord*> prepared;
  for (const auto* slot : slice) prepared.push_back(slot->prepared);
  const RecordArray records(prepared);
  const auto thrown = guarded_call([&] { handler_.handle_batch(records.span(), collector_); }, *slice.front(), slice.size());
  if (!thrown && keep()) {
    const auto rejected = collector_.rejected();
    for (auto* slot : slice) {
      const auto offset = slot->prepared->source->view.offset;
      const auto reason = std::find_if(rejected.begin(), rejected.end(), [&](const auto& r) { return r.offset == offset; });
      if (reason == rejected.end()) succeed(*slot);
      else fail(*slot, core::cause::rejected, "handler", reason->reason, "deja::Reject");
    }
    return;
  }
  const auto failure = thrown ? *thrown : *flush_failure_;
  take_back();
  if (slice.size() == 1) return fail(*slice.front(), failure.cause, "handler", failure.message, failure.type);
  const auto half = slice.begin() + static_cast<std::ptrdiff_t>(slice.size() / 2);
  run_slice({slice.begin(), half});
  run_slice({half, slice.end()});
}

// Runs a handler and says what it threw, as its record's own failure; what concerns the whole batch is thrown on.
std::optional<Thrown> Batch::guarded_call(const std::function<void()>& handle, const Slot& first, std::size_t count) {
  collector_.begin_call();
  keep_session_alive();
  ++starts_;
  const auto before = std::chrono::steady_clock::now();
  auto thrown = catch_thrown(handle);
  call_seconds_.push_back(seconds_since(before));
  const auto index = static_cast<std::size_t>(&first - slots_.data());
  // Looked at before anything else: the session may have ended meanwhile, which is no outage.
  if (call_seconds_.back() > std::chrono::duration<double>(settings_.handler_timeout).count())
    throw HandlerTooSlow(index, count, "the handler ran for " + std::to_string(static_cast<std::int64_t>(call_seconds_.back() * 1000)) +
                                           " ms, longer than handler.timeout.ms (" + std::to_string(settings_.handler_timeout.count()) + ")");
  if (const auto& failure = collector_.failure()) {
    raise_unless_own(*failure, spec_.name);
    if (pass_ == Pass::plain) throw NeedsSavepoints(failure->message);
    if (!thrown)
      thrown = Thrown{std::string(core::cause::exhausted), "swallowed SQL error",
                      "the handler caught an SQL error and went on, but the server has given the transaction up: let it pass, or test before you write (" +
                          failure->message + ")", {}};
  }
  if (thrown && thrown->unavailable) {
    throw DependencyAway(index, thrown->unavailable->dependency(), thrown->unavailable->retry_after());
  }
  if (thrown && pass_ == Pass::plain && collector_.sent()) throw NeedsSavepoints(thrown->message);
  return thrown;
}

// Calls that only collect leave the session idle; together they may outlast its idle time-out, which is meant for one hanging call.
void Batch::keep_session_alive() {
  const auto now = std::chrono::steady_clock::now();
  if (now - last_statement_ < settings_.handler_timeout / 2) return;
  postgres::touch(connection_);
  last_statement_ = now;
}

void Batch::succeed(Slot& slot) {
  slot.settled = true;
  slot.outcome.disposition = Disposition::processed;
  if (!slot.prepared->key) return;
  auto& use = keys_.at(*slot.prepared->key);
  use.state = KeyState::done;
  use.digest = slot.prepared->digest;
  const auto& view = slot.prepared->source->view;
  use.holder = {use.digest, row_.id, view.offset, 0.0, std::string(view.topic), view.partition};
}

void Batch::fail(Slot& slot, std::string_view cause, std::string_view stage, std::string error, const std::string& type) {
  slot.settled = true;
  slot.outcome.disposition = Disposition::dead;
  slot.outcome.cause = cause;
  slot.outcome.error = error;
  if (stage == "handler" || stage == "commit") {
    ++(cause == core::cause::rejected ? rejections_ : failures_);
    if (slot.prepared->key) keys_.at(*slot.prepared->key).state = KeyState::unclaimed;
  }
  slot.letter = dead_letter_of(*slot.prepared, spec_.name, cause, stage, std::move(error), type);
  if (cause == core::cause::conflict) {
    slot.letter->conflict_lane = slot.outcome.first.lane;
    slot.letter->conflict_offset = slot.outcome.first.offset;
  }
}

void Batch::close(BatchResult& result, const postgres::LaneAdvance& advance) {
  release_claims();
  std::vector<postgres::NewDeadLetter> letters;
  for (auto& slot : slots_)
    if (slot.letter) letters.push_back(*slot.letter);
  const auto ids = stores_.dead_letters.insert(connection_, row_, letters);
  result.first_event_seq = start_.next_event_seq;
  result.events = make_events(ids);
  const auto events = static_cast<std::int64_t>(result.events.size());
  connection_.exec(stores_.outbox.insert_sql(connection_, start_.open_segment, row_.id, result.first_event_seq, result.events) +
                   stores_.lanes.close_sql(row_, events));
  result.row = row_;
  result.row.batch_seq += 1;
  result.row.next_offset = advance.next_offset;
  result.row.published_seq = std::max(row_.published_seq, advance.published_seq);
  result.row.next_event_seq = start_.next_event_seq + events;
  result.row.parked_version = start_.parked_version;
  for (auto& slot : slots_) result.outcomes.push_back(slot.outcome);
  result.handler_starts = starts_;
  result.handler_failures = failures_;
  result.handler_rejections = rejections_;
  result.call_seconds = std::move(call_seconds_);
}

void Batch::commit(BatchResult& result) {
  const auto before = std::chrono::steady_clock::now();
  result.commit_sent = true;
  postgres::commit(connection_);
  result.commit_seconds = seconds_since(before);
}

std::vector<core::OutboundEvent> Batch::make_events(const std::vector<postgres::DeadLetterId>& ids) {
  std::unordered_map<std::int64_t, std::vector<Event*>> emitted;
  for (auto& e : collector_.emitted()) emitted[e.offset].push_back(&e.event);
  std::vector<core::OutboundEvent> events;
  for (auto& slot : slots_) {
    const auto offset = slot.prepared->source->view.offset;
    if (slot.outcome.disposition == Disposition::processed) {
      const auto mine = emitted.find(offset);
      if (mine == emitted.end()) continue;
      std::int64_t ordinal = 0;
      for (auto* event : mine->second) events.push_back(handler_event(std::move(*event), *slot.prepared, settings_.scope, row_.incarnation, ordinal++, hash_));
    } else if (slot.letter && !settings_.dlq_topic.empty()) {
      const auto id = std::find_if(ids.begin(), ids.end(), [&](const auto& i) { return i.offset == offset; });
      if (id != ids.end()) events.push_back(dead_letter_event(*slot.letter, *id, settings_, hash_));
    }
  }
  return events;
}

// After a handler returned, in the second pass: sends what it queued and looks for violations that would show only at COMMIT (B5).
bool Batch::keep() {
  flush_failure_.reset();
  if (pass_ == Pass::plain) return true;
  try {
    collector_.flush();
    postgres::keep_savepoint(connection_, deferred_constraints_);
    return true;
  } catch (const std::exception& e) {
    const auto failure = postgres::classify(e, !connection_.broken());
    if (failure.kind == postgres::Failure::own_timeout && connection_.broken()) throw FailedAtCommit(failure.message);
    raise_unless_own(failure, spec_.name);
    flush_failure_ = Thrown{std::string(core::cause::exhausted), "SQL error " + failure.sqlstate, failure.message, {}};
    return false;
  }
}

void Batch::take_back() {
  collector_.undo();
  if (pass_ == Pass::savepoints) postgres::roll_back_to_savepoint(connection_);
}

}  // namespace deja::runtime
