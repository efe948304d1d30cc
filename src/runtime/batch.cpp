#include "runtime/batch.h"

#include <algorithm>
#include <chrono>

#include <deja/errors.h>

#include "core/clock.h"
#include "failpoints/failpoint.h"
#include "postgres/constraints.h"
#include "postgres/errors.h"
#include "postgres/transaction_control.h"
#include "runtime/batch_errors.h"
#include "runtime/batch_slot.h"
#include "runtime/dead_letter_event.h"
#include "runtime/failures.h"
#include "runtime/handler_event.h"

namespace deja::runtime {

using core::Disposition;
using core::seconds_since;

Batch::Batch(const BatchSettings& settings, const Stores& stores, postgres::Connection& connection, postgres::PreparedStatements& prepared,
             const detail::HandlerSpec& spec, detail::HandlerInstance& handler, const postgres::LaneState& row, const core::ParkedSet& parked,
             core::Random& random)
    : settings_(settings), stores_(stores), connection_(connection), prepared_(prepared), spec_(spec), handler_(handler), row_(row), parked_(parked), random_(random),
      collector_(connection, prepared, settings.max_event_bytes) {}

Batch::~Batch() = default;

void Batch::run(std::span<const PreparedRecord> records, std::int64_t published_seq, Pass pass, BatchResult& result,
                const std::optional<core::ForcedFailure>& forced) {
  pass_ = pass;
  forced_ = forced;
  slots_.reserve(records.size());
  for (const auto& r : records) slots_.emplace_back(r);
  drain_ = records.front().parked != nullptr;
  postgres::LaneAdvance advance;
  advance.next_offset = row_.next_offset;
  advance.published_seq = published_seq;
  if (!drain_) {
    const auto& last = *records.back().source;
    advance.next_offset = last.view.offset + 1;
    advance.records = static_cast<std::int64_t>(records.size());
    advance.witness = witness_of(last, hash_);
  }
  try {
    if (pass_ == Pass::savepoints) {
      deferred_constraints_ = postgres::deferred_constraints(connection_);
      DEJA_FAILPOINT(after_constraints_read);
    }
    const auto started = stores_.lanes.begin(connection_, row_, advance);
    if (!started) throw Fenced();
    DEJA_FAILPOINT(after_begin);
    start_ = *started;
    see_changes_of_operators();
    drain_ ? look_at_parked() : leave_to_their_rows();
    const auto before_claim = std::chrono::steady_clock::now();
    claim();
    result.claim_seconds = seconds_since(before_claim);
    stage_ = Stage::handlers;
    last_statement_ = std::chrono::steady_clock::now();
    result.handlers_run = true;
    spec_.batch || pass_ == Pass::savepoints ? run_in_slices() : run_singly();
    collector_.flush();
    result.handlers_run = false;
    stage_ = Stage::closing;
    look_for_flood(result);
    close(result, advance);
    stage_ = Stage::committing;
    commit(result);
  } catch (const std::exception& e) {
    postgres::roll_back_quietly(connection_);
    DEJA_FAILPOINT(after_rollback);
    translate_and_throw(e);
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

void Batch::close(BatchResult& result, const postgres::LaneAdvance& advance) {
  release_claims();
  const auto letters = close_letters();
  close_parked(result);
  remember_held(result, letters);
  result.first_event_seq = start_.next_event_seq;
  result.events = make_events(letters);
  const auto events = static_cast<std::int64_t>(result.events.size());
  connection_.exec(stores_.event_topics.insert_sql(connection_, result.events) +
                   stores_.outbox.insert_sql(connection_, start_.open_segment, row_.id, result.first_event_seq, result.events) +
                   stores_.lanes.close_sql(row_, events));
  DEJA_FAILPOINT(after_close);
  result.row = row_;
  result.row.batch_seq += 1;
  result.row.next_offset = advance.next_offset;
  result.row.witness = advance.witness;
  result.row.published_seq = std::max(row_.published_seq, advance.published_seq);
  result.row.next_event_seq = start_.next_event_seq + events;
  result.row.parked_version = start_.parked_version;
  for (auto& slot : slots_) {
    slot.outcome.kept = slot.letter && !slot.letter->discarded;
    if (slot.ran) ++(slot.prepared->source->view.attempt > 1 ? result.redeliveries : result.first_deliveries);
    result.outcomes.push_back(slot.outcome);
  }
  result.drain = drain_;
  result.savepoints = savepoints_;
  result.handler_starts = starts_;
  result.handler_failures = failures_;
  result.handler_rejections = rejections_;
  result.call_seconds = std::move(call_seconds_);
}

void Batch::commit(BatchResult& result) {
  const auto before = std::chrono::steady_clock::now();
  result.commit_sent = true;
  postgres::commit(connection_);
  DEJA_FAILPOINT(after_commit_sent);
  result.commit_seconds = seconds_since(before);
  stores_.event_topics.committed(result.events);
}

const core::DeadLetterNotice* Batch::notice_of(const Slot& slot, const Letters& letters) {
  const auto* parked = slot.prepared->parked;
  if (!parked || !parked->replay) return nullptr;
  const auto found = std::find_if(letters.notices.begin(), letters.notices.end(), [&](const auto& n) { return n.dead_letter == parked->replay->dead_letter; });
  return found == letters.notices.end() ? nullptr : &*found;
}

std::vector<core::OutboundEvent> Batch::make_events(const Letters& letters) {
  std::unordered_map<std::int64_t, std::vector<Event*>> emitted;
  for (auto& e : collector_.emitted()) emitted[e.offset].push_back(&e.event);
  std::vector<core::OutboundEvent> events;
  for (auto& slot : slots_) {
    const auto offset = slot.prepared->source->view.offset;
    if (slot.outcome.disposition == Disposition::processed) {
      if (const auto mine = emitted.find(offset); mine != emitted.end()) {
        std::int64_t ordinal = 0;
        const auto& log = slot.prepared->parked ? slot.prepared->parked->incarnation : row_.incarnation;
        for (auto* event : mine->second) events.push_back(handler_event(std::move(*event), *slot.prepared, settings_.scope, log, ordinal++, hash_));
      }
    } else if (slot.letter && !slot.letter->discarded && !settings_.dlq_topic.empty()) {
      const auto id = std::find_if(letters.ids.begin(), letters.ids.end(), [&](const auto& i) { return i.offset == offset; });
      if (id != letters.ids.end()) events.push_back(dead_letter_event(*slot.letter, *id, settings_, hash_));
    }
    if (const auto* notice = notice_of(slot, letters)) events.push_back(core::notice_event(*notice, settings_.group, slot.prepared->source->view.key, source_text(slot.prepared->source->view), hash_));
  }
  return events;
}

}  // namespace deja::runtime
