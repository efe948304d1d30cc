#include <algorithm>
#include <chrono>

#include "core/clock.h"
#include "failpoints/failpoint.h"
#include "postgres/transaction_control.h"
#include "runtime/batch.h"
#include "runtime/batch_errors.h"
#include "runtime/batch_slot.h"
#include "runtime/dead_letter_event.h"
#include "runtime/failures.h"
#include "runtime/thrown.h"

// The handlers' part of a batch: who runs, in which order, and what becomes of a record whose handler fails.

namespace deja::runtime {

using core::Disposition;
using core::seconds_since;

bool Batch::settle_without_running(Slot& slot) {
  const auto& p = *slot.prepared;
  if (p.parked && !p.parked->wanted.empty()) {
    obey(slot);
    return true;
  }
  if (p.trouble) {
    fail(slot, *p.trouble, p.error, std::string(core::row_of(*p.trouble).cause));
    return true;
  }
  const auto* known = known_use(p);
  if (known == nullptr && forced_ && forced_->trouble == core::Trouble::by_operator) {  // not parked behind another one
    fail_as_forced(slot);
    return true;
  }
  if (known == nullptr) return settle_as_twin(slot);
  const auto& use = *known;
  slot.settled = true;
  slot.outcome.first = use.holder;
  if (p.digest == use.digest) {
    slot.outcome.disposition = Disposition::duplicate;
    const auto& view = p.source->view;
    const bool itself = view.offset < row_.reread_until && use.holder.offset == view.offset && use.holder.partition == view.partition && use.holder.topic == view.topic;
    slot.outcome.cause = itself ? core::cause::replay : core::cause::producer;
    return true;
  }
  const std::string position = use.holder.topic + "/" + std::to_string(use.holder.partition) + "/" + std::to_string(use.holder.offset);
  if (settings_.quarantine_conflicts)
    fail(slot, core::Trouble::conflict, "the same key came first with another payload, at " + position, "conflict");
  slot.outcome.disposition = Disposition::conflict;
  slot.outcome.cause = core::cause::conflict;
  return true;
}

// A record is fresh only if all of its keys are. Where they disagree, the one that tells of another payload counts: a conflict is kept.
const Batch::KeyUse* Batch::known_use(const PreparedRecord& p) const {
  const KeyUse* known = nullptr;
  p.each_key([&](const core::Uuid& key) {
    const auto& use = keys_.at(key);
    if (use.state == KeyState::claimed || use.state == KeyState::unclaimed) return;
    if (known == nullptr || (known->digest == p.digest && use.digest != p.digest)) known = &use;
  });
  return known;
}

void Batch::run_singly() {
  for (auto& slot : slots_)
    if (!slot.settled && !settle_without_running(slot)) call(slot);
}

void Batch::call(Slot& slot) {
  if (forced_) return fail_as_forced(slot);
  if (pass_ == Pass::savepoints) set_savepoint();
  slot.ran = true;
  const Record record(slot.prepared->source->view);
  const auto thrown = guarded_call(
      [&] {
        DEJA_FAILPOINT(before_handler);
        handler_.handle(record, collector_);
        DEJA_FAILPOINT(after_handler);
      },
      slot, 1);
  if (!thrown && keep()) return succeed(slot);
  const auto& failure = thrown ? *thrown : *flush_failure_;
  take_back();
  fail(slot, failure.trouble, failure.message, failure.type);
}

void Batch::run_in_batches() {
  for (;;) {
    std::vector<Slot*> slice;
    std::unordered_set<core::Uuid, core::UuidHash> keys_of_slice;
    std::unordered_set<std::uint64_t> left_behind;  // ordering keys: what follows waits as well
    for (auto& slot : slots_) {
      if (slot.settled) continue;
      // a twin of a record in this slice waits for what becomes of it
      bool twin = false;
      slot.prepared->each_key([&](const core::Uuid& key) { twin = twin || keys_of_slice.contains(key); });
      const auto& ordering = slot.prepared->ordering;
      if (twin || (ordering && left_behind.contains(*ordering))) {
        if (ordering) left_behind.insert(*ordering);
        continue;
      }
      if (settle_without_running(slot)) continue;
      slot.prepared->each_key([&](const core::Uuid& key) { keys_of_slice.insert(key); });
      slice.push_back(&slot);
    }
    if (slice.empty()) return;
    run_slice(std::move(slice));
  }
}

void Batch::run_slice(std::vector<Slot*> slice) {
  if (forced_) return fail_as_forced(*slice.front());
  // a record of the other half may have been parked meanwhile
  std::erase_if(slice, [&](Slot* slot) { return settle_as_twin(*slot); });
  if (slice.empty()) return;
  if (pass_ == Pass::savepoints) set_savepoint();
  std::vector<const PreparedRecord*> prepared;
  for (auto* slot : slice) {
    slot->ran = true;
    prepared.push_back(slot->prepared);
  }
  const RecordArray records(prepared);
  const auto thrown = guarded_call(
      [&] {
        DEJA_FAILPOINT(before_handler);
        handler_.handle_batch(records.span(), collector_);
        DEJA_FAILPOINT(after_handler);
      },
      *slice.front(), slice.size());
  if (!thrown && keep()) {
    const auto rejected = collector_.rejected();
    for (auto* slot : slice) {
      const auto offset = slot->prepared->source->view.offset;
      const auto reason = std::find_if(rejected.begin(), rejected.end(), [&](const auto& r) { return r.offset == offset; });
      if (reason == rejected.end()) succeed(*slot);
      else fail(*slot, core::Trouble::rejected, reason->reason, "deja::Reject");
    }
    return;
  }
  const auto failure = thrown ? *thrown : *flush_failure_;
  take_back();
  if (slice.size() == 1) return fail(*slice.front(), failure.trouble, failure.message, failure.type);
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
  auto thrown = [&] {
    const CallInProgress::Told told(call_, first.outcome.offset);
    return catch_thrown(handle, spec_.is_final);
  }();
  call_seconds_.push_back(seconds_since(before));
  const auto index = static_cast<std::size_t>(&first - slots_.data());
  // Looked at before anything else: the session may have ended meanwhile, which is no outage.
  auto ran = std::chrono::milliseconds(static_cast<std::int64_t>(call_seconds_.back() * 1000));
  if (ran > settings_.handler_timeout && call_) ran -= call_->stood_still();
  if (ran > settings_.handler_timeout)
    throw HandlerTooSlow(index, count, "the handler ran for " + std::to_string(ran.count()) +
                                           " ms, longer than handler.timeout.ms (" + std::to_string(settings_.handler_timeout.count()) + ")");
  if (const auto& failure = collector_.failure()) {
    raise_unless_own(*failure, spec_.name);
    if (pass_ == Pass::plain) throw NeedsSavepoints(failure->message);
    if (!thrown)
      thrown = Thrown{core::Trouble::exception, "swallowed SQL error",
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
  DEJA_FAILPOINT(after_touch);
  last_statement_ = now;
}

void Batch::succeed(Slot& slot) {
  slot.settled = true;
  slot.outcome.disposition = Disposition::processed;
  keep_keys(slot);
}

void Batch::keep_keys(const Slot& slot) {
  slot.prepared->each_key([&](const core::Uuid& key) {
    auto& use = keys_.at(key);
    use.state = KeyState::done;
    use.digest = slot.prepared->digest;
    const auto& view = slot.prepared->source->view;
    use.holder = {use.digest, row_.id, view.offset, 0.0, std::string(view.topic), view.partition};
  });
}

// After a handler returned, in the second pass: sends what it queued and looks for violations that would show only at COMMIT (B5).
bool Batch::keep() {
  flush_failure_.reset();
  if (pass_ == Pass::plain) return true;
  try {
    collector_.flush();
    postgres::keep_savepoint(connection_, deferred_constraints_);
    DEJA_FAILPOINT(after_savepoint_kept);
    return true;
  } catch (const std::exception& e) {
    const auto failure = postgres::classify(e, !connection_.broken());
    if (failure.kind == postgres::Failure::own_timeout && connection_.broken()) throw FailedAtCommit(failure.message);
    raise_unless_own(failure, spec_.name);
    flush_failure_ = Thrown{core::Trouble::exception, "SQL error " + failure.sqlstate, failure.message, {}};
    return false;
  }
}

void Batch::set_savepoint() {
  postgres::set_savepoint(connection_);
  DEJA_FAILPOINT(after_savepoint);
}

void Batch::take_back() {
  collector_.undo();
  if (pass_ != Pass::savepoints) return;
  postgres::roll_back_to_savepoint(connection_);
  DEJA_FAILPOINT(after_savepoint_undone);
}

}  // namespace deja::runtime
