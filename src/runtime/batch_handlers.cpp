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
    slot.outcome.cause = itself || (p.parked && p.parked->replay) ? core::cause::replay : core::cause::producer;
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

std::optional<Thrown> Batch::call_handler(Slot& slot) {
  slot.ran = true;
  const Record record(slot.prepared->source->view);
  return guarded_call(
      [&] {
        DEJA_FAILPOINT(before_handler);
        handler_.handle(record, collector_);
        DEJA_FAILPOINT(after_handler);
      },
      slot, 1);
}

void Batch::call(Slot& slot) {
  if (forced_) return fail_as_forced(slot);
  const auto thrown = call_handler(slot);
  if (!thrown) return succeed(slot);
  collector_.undo();
  fail(slot, thrown->trouble, thrown->message, thrown->type);
}

// All at once for a handler of batches while all is well, a few at a time in the second pass.
void Batch::run_in_slices() {
  for (;;) {
    auto slice = next_slice();
    if (slice.empty()) return;
    run_slice(std::move(slice));
  }
}

Batch::Slice Batch::next_slice() {
  const auto most = pass_ == Pass::plain ? slots_.size() : group_size_.next();
  Slice slice;
  std::unordered_set<core::Uuid, core::UuidHash> keys_of_slice;
  std::unordered_set<std::uint64_t> left_behind;  // ordering keys: what follows waits as well
  for (auto& slot : slots_) {
    if (slice.size() == most) break;
    if (slot.settled) continue;
    // a twin of a record in this slice, or of one that waits for it, waits for what becomes of it
    bool twin = false;
    slot.prepared->each_key([&](const core::Uuid& key) { twin = twin || keys_of_slice.contains(key); });
    const auto& ordering = slot.prepared->ordering;
    const bool waits = twin || (ordering && left_behind.contains(*ordering));
    if (waits && ordering) left_behind.insert(*ordering);
    if (!waits && settle_without_running(slot)) continue;
    slot.prepared->each_key([&](const core::Uuid& key) { keys_of_slice.insert(key); });
    if (!waits) slice.push_back(&slot);
  }
  return slice;
}

void Batch::run_slice(Slice slice) {
  // an earlier part of the slice may have been parked meanwhile
  std::erase_if(slice, [&](Slot* slot) { return settle_as_twin(*slot); });
  if (slice.empty()) return;
  if (forced_) return fail_as_forced(*slice.front());
  if (pass_ == Pass::savepoints) set_savepoint();
  spec_.batch ? run_span(slice) : run_group(slice);
}

void Batch::run_halves(const Slice& slice) {
  const auto half = slice.begin() + static_cast<std::ptrdiff_t>(slice.size() / 2);
  run_slice({slice.begin(), half});
  run_slice({half, slice.end()});
}

// Records of the second pass that share a savepoint.
void Batch::run_group(const Slice& group) {
  for (std::size_t i = 0; i < group.size(); ++i)
    if (const auto thrown = call_handler(*group[i])) return cut_group(group, i, *thrown);
  if (keep()) {
    group_size_.kept();
    for (auto* slot : group) succeed(*slot);
    return;
  }
  const auto failure = *flush_failure_;
  take_back();
  savepoints_.needed = true;
  if (group.size() == 1) return fail(*group.front(), failure.trouble, failure.message, failure.type);
  group_size_.failed();
  run_halves(group);
}

// The one that threw fails once those before it are kept, so that it ran on what they did. Where it sent statements they have to run again.
void Batch::cut_group(const Slice& group, std::size_t at, const Thrown& thrown) {
  const Slice before(group.begin(), group.begin() + static_cast<std::ptrdiff_t>(at));
  const Slice after(group.begin() + static_cast<std::ptrdiff_t>(at) + 1, group.end());
  if (group.size() > 1) group_size_.failed();
  savepoints_.needed = savepoints_.needed || collector_.sent();
  bool fails = before.empty();
  if (!before.empty() && !collector_.sent()) {
    collector_.undo();
    fails = keep();
    for (auto* slot : before)
      if (fails) succeed(*slot);
  }
  if (before.empty() || !fails) take_back();
  if (fails) {
    fail(*group[at], thrown.trouble, thrown.message, thrown.type);
  } else {
    run_slice(before);
    run_slice({group[at]});
  }
  run_slice(after);
}

// dlq.order = hold: how many of the span come up to the first that was rejected and that a later one has to wait behind. 0: none.
std::size_t Batch::cut_by_rejection(const Slice& span) {
  if (!settings_.hold || collector_.rejected().empty()) return 0;
  std::unordered_set<std::int64_t> rejected;
  for (const auto& each : collector_.rejected()) rejected.insert(each.offset);
  const auto is_rejected = [&](const Slot* slot) { return rejected.contains(slot->outcome.offset); };
  for (auto at = span.begin(); at != span.end(); ++at) {
    const auto& ordering = (*at)->prepared->ordering;
    if (!ordering || !is_rejected(*at)) continue;
    if (std::any_of(std::next(at), span.end(), [&](const Slot* later) { return later->prepared->ordering == ordering && !is_rejected(later); }))
      return static_cast<std::size_t>(at - span.begin()) + 1;
  }
  return 0;
}

void Batch::run_span(const Slice& span) {
  std::vector<const PreparedRecord*> prepared;
  for (auto* slot : span) {
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
      *span.front(), span.size());
  if (const auto cut = thrown ? 0 : cut_by_rejection(span); cut > 0) {
    if (pass_ == Pass::plain && collector_.sent()) throw NeedsSavepoints("a record was rejected that later ones of its span have to wait behind");
    savepoints_.needed = savepoints_.needed || collector_.sent();
    take_back();
    run_slice({span.begin(), span.begin() + static_cast<std::ptrdiff_t>(cut)});
    return run_slice({span.begin() + static_cast<std::ptrdiff_t>(cut), span.end()});
  }
  if (!thrown && keep()) {
    group_size_.kept();
    const auto rejected = collector_.rejected();
    for (auto* slot : span) {
      const auto offset = slot->prepared->source->view.offset;
      const auto reason = std::find_if(rejected.begin(), rejected.end(), [&](const auto& r) { return r.offset == offset; });
      if (reason == rejected.end()) succeed(*slot);
      else fail(*slot, core::Trouble::rejected, reason->reason, "deja::Reject");
    }
    return;
  }
  const auto failure = thrown ? *thrown : *flush_failure_;
  if (pass_ == Pass::savepoints) savepoints_.needed = savepoints_.needed || !thrown || collector_.sent();
  take_back();
  group_size_.failed();
  if (span.size() == 1) return fail(*span.front(), failure.trouble, failure.message, failure.type);
  run_halves(span);
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
    ++savepoints_.kept;
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
  collector_.begin_group();
  postgres::set_savepoint(connection_);
  DEJA_FAILPOINT(after_savepoint);
}

void Batch::take_back() {
  if (pass_ == Pass::plain) return collector_.undo();
  collector_.undo_group();
  postgres::roll_back_to_savepoint(connection_);
  DEJA_FAILPOINT(after_savepoint_undone);
}

}  // namespace deja::runtime
