#include <algorithm>
#include <map>
#include <unordered_set>

#include "core/drain_turn.h"
#include "failpoints/failpoint.h"
#include "postgres/errors.h"
#include "runtime/failures.h"
#include "runtime/lane.h"
#include "runtime/worker.h"

// Redelivery: parked records that are due run in batches of their own, in turn with live ones, each batch as any other.

namespace deja::runtime {

using std::chrono::milliseconds;
using Noted = postgres::ParkedStore::Noted;

namespace {
constexpr milliseconds look_for_room_after{1000};  // an operator may have made some
constexpr milliseconds ask_budget_after{500};
constexpr std::size_t most_failed_attempts = 10'000;  // beyond them the oldest stay spent
}

bool Lane::drains_next() {
  const auto now = context_.clock.now();
  core::LaneTurn turn;
  if (!needs_.empty()) turn.refused_in_drain = refused_in_drain_;
  turn.drain_begun = !drain_.rows.empty();
  turn.drain_due = next_drain();
  turn.drained_last = drained_last_;
  turn.live_held_up = now < no_room_until_;
  turn.live_waiting = !current_.empty() || queued() > 0;
  return core::drains_next(turn, now);
}

Next Lane::run_drain(Worker& worker) {
  drained_last_ = true;
  if (const auto later = wait_for_breakers()) return *later;
  if (drain_.rows.empty()) {
    refund_start(worker);  // of a live record that has to run once more: what ends the process now is not its doing
    if (!load_drain(worker)) return Next::now();
  }
  const auto& front = drain_.rows.front();
  const bool alone = drain_.alone || drain_losses_.alone();
  auto shape = drain_.plan.next(alone ? 1 : drain_.rows.size(), drain_.done);
  if (drain_.alone && !drain_.started && front.starts >= context_.crash_max_starts) shape.forced = core::killed(context_.crash_max_starts);
  if (!shape.forced && drain_losses_.dead(front.id, context_.crash_max_starts)) shape.forced = core::killed_connection(context_.crash_max_starts);
  if (!shape.forced && front.redirected_to && !handler_named(*front.redirected_to))
    shape.forced = core::ForcedFailure{core::Trouble::by_operator, "it is redirected to handler " + *front.redirected_to + ", which the program that works its topic does not have"};
  if (shape.forced) shape.records = 1;
  return run(worker, {drain_.plan, shape, drain_.done + static_cast<std::int64_t>(shape.records) - 1, alone, true});
}

// Heads of different ordering keys, each with what waits behind it: a key that gets many records could not be worked off one by one.
bool Lane::load_drain(Worker& worker) {
  const auto now = context_.clock.now();
  auto ids = parked_.due(now, std::min(core::BatchPlan::subtransaction_cache, context_.batch_max_records), now >= budget_until_);
  bound(ids);
  ask_budget(worker, ids);
  if (ids.empty()) return false;
  drain_ = {};
  drain_.alone = parked_.find(ids.front())->suspect;
  const bool runs = !drain_.alone && std::any_of(ids.begin(), ids.end(), [&](std::int64_t id) {
    const auto& ordering = parked_.find(id)->ordering;
    return ordering && parked_.count(*ordering) > 1;
  });
  const auto behind = runs ? std::min(postgres::ParkedStore::longest_run, context_.batch_max_records / ids.size()) : 0;
  drain_.rows = context_.stores.parked.read_runs(worker.connection(), row_.id, ids, behind, context_.batch_max_bytes);
  DEJA_FAILPOINT(after_parked_read);
  if (cut_runs(ids) < ids.size()) reload_parked(worker);  // an operator's doing
  keep_to_one_handler();
  return !drain_.rows.empty();
}

const detail::HandlerSpec* Lane::handler_named(const std::string& name) const {
  const auto found = std::find_if(context_.handlers.begin(), context_.handlers.end(), [&](const auto& h) { return h.name == name; });
  return found == context_.handlers.end() ? nullptr : &*found;
}

// A batch has one handler: what another one runs is left for the next drain, with what is behind it.
void Lane::keep_to_one_handler() {
  if (drain_.rows.empty()) return;
  const auto handler = drain_.rows.front().redirected_to;
  std::unordered_set<std::uint64_t> cut;
  std::erase_if(drain_.rows, [&](const postgres::ParkedRow& row) {
    const bool fits = row.redirected_to == handler && !(row.ordering && cut.contains(*row.ordering));
    if (!fits && row.ordering) cut.insert(*row.ordering);
    return !fits;
  });
}

// What a run comes to goes with it only where it has never run and nobody wants anything of it. Returns how many of `ids` there are.
std::size_t Lane::cut_runs(const std::vector<std::int64_t>& ids) {
  const std::unordered_set<std::int64_t> picked(ids.begin(), ids.end());
  std::unordered_set<std::int64_t> offsets;
  for (const auto& row : drain_.rows)
    if (picked.contains(row.id)) offsets.insert(row.record.view.offset);
  const auto found = offsets.size();
  std::unordered_set<std::uint64_t> cut;
  std::erase_if(drain_.rows, [&](const postgres::ParkedRow& row) {
    if (picked.contains(row.id)) return false;
    const auto* known = parked_.find(row.id);
    const bool fits = known && !known->due && !known->suspect && !known->again && row.wanted.empty() && !cut.contains(*row.ordering) &&
                      !parked_.held(*row.ordering, known->offset) && offsets.insert(row.record.view.offset).second;
    if (!fits) cut.insert(*row.ordering);
    return !fits;
  });
  return found;
}

// In memory; and never two records of one offset, which an operator's accept-loss can leave: within a batch a record is known by it.
void Lane::bound(std::vector<std::int64_t>& ids) const {
  std::size_t bytes = 0;
  std::unordered_set<std::int64_t> offsets;
  std::erase_if(ids, [&](std::int64_t id) {
    const auto* record = parked_.find(id);
    if (!offsets.empty() && bytes + record->size > context_.batch_max_bytes) return true;
    if (!offsets.insert(record->offset).second) return true;
    bytes += record->size;
    return false;
  });
}

// R6: what ran before runs again only as far as the fleet's budget goes; the rest waits.
void Lane::ask_budget(Worker& worker, std::vector<std::int64_t>& ids) {
  const auto again = [&](std::int64_t id) { return parked_.find(id)->again; };
  const auto wanted = std::count_if(ids.begin(), ids.end(), again);
  if (wanted == 0) return;
  std::int64_t granted = 0;
  try {
    granted = context_.stores.budget.take(worker.connection(), spec_.name, wanted, context_.budgets.budget());
    DEJA_FAILPOINT(after_budget);
  } catch (const std::exception& e) {  // many ask at one time: later, and live records need not wait for that
    if (postgres::classify(e, !worker.connection().broken()).kind != postgres::Failure::repeat) throw;
  }
  waits_for_budget_ = granted < wanted;
  if (granted == wanted) return;
  budget_until_ = context_.clock.now() + ask_budget_after + milliseconds(static_cast<int>(worker.random().unit() * 200));
  core::keep_within_budget(ids, parked_, granted);
}

std::optional<core::Steady::time_point> Lane::next_drain() const { return core::next_drain(parked_, budget_until_); }

// park.policy = pause: live records wait until a parked one is done.
Next Lane::no_room(Worker& worker) {
  refund_start(worker);
  no_room_until_ = context_.clock.now() + look_for_room_after;
  const auto offset = current_.empty() ? row_.next_offset : current_.front().view.offset;
  set_pause("no room to park a record: " + std::to_string(parked_.size()) + " are parked (park.max.records, park.key.max.records)" + (context_.batch.hold ? "; dead letters hold what is behind them" : ""),
            "parked records (offset " + std::to_string(offset) + " has to wait)");
  return unless_closing(wake_for_parked(Next::at(no_room_until_)));
}

// R1, as start_suspect() does it for live records.
void Lane::start_parked(Worker& worker) {
  if (drain_.started || !drain_.alone) return;
  auto& row = drain_.rows.front();
  const auto noted = context_.stores.parked.note_start(worker.connection(), row_, row.id, row.starts + 1);
  DEJA_FAILPOINT(after_parked_start);
  if (noted == Noted::fenced) throw Fenced();
  if (noted == Noted::gone) {  // a replay was cancelled: read again what there is
    drain_ = {};
    parked_changed_ = true;
    throw RepeatBatch("parked_row_gone", "an operator took the parked record away");
  }
  ++row.starts;
  drain_.started = true;
}

void Lane::refund_parked(Worker& worker) {
  if (!drain_.started || drain_.rows.empty()) return;
  auto& row = drain_.rows.front();
  const auto noted = context_.stores.parked.note_start(worker.connection(), row_, row.id, row.starts - 1);
  DEJA_FAILPOINT(after_parked_refund);
  if (noted == Noted::fenced) throw Fenced();
  --row.starts;
  drain_.started = false;
}

void Lane::load_parked(Worker& worker, bool suspects) {
  forget_parked();
  if (suspects) {
    if (!context_.stores.parked.mark_suspects(worker.connection(), row_)) throw Fenced();
    DEJA_FAILPOINT(after_suspects_marked);
  }
  if (row_.holds != context_.batch.hold) {  // after suspects: a head that waits from now on may be one
    if (!context_.stores.parked.mark_heads(worker.connection(), row_, context_.batch.hold)) throw Fenced();
    DEJA_FAILPOINT(after_heads_marked);
  }
  const auto view = context_.stores.parked.load(worker.connection(), row_.id, context_.batch.hold);
  DEJA_FAILPOINT(after_parked_load);
  parked_ = remembered(view, context_.clock.now());
  parked_records_ = static_cast<std::int64_t>(parked_.size());
}

// D1: under the row's lock, so that the version read fits what is read after it, or is older.
void Lane::reload_parked(Worker& worker) {
  const auto now = context_.stores.lanes.read_locked(worker.connection(), row_.id);
  DEJA_FAILPOINT(after_parked_version);
  if (now.token != row_.token || now.batch_seq != row_.batch_seq) throw Fenced();
  ParkedChanges changes;
  changes.reloaded = context_.stores.parked.load(worker.connection(), row_.id, context_.batch.hold);
  DEJA_FAILPOINT(after_parked_load);
  auto row = row_;
  row.parked_version = now.parked_version;
  row.next_event_seq = now.next_event_seq;
  set_row(row);
  outbox_->committed_in_table(row.next_event_seq);
  remember(changes);
}

// R2: failures that turn out to be an outage's were no fault of their records. Forgotten before they are given back: where the reply is lost,
// it is not done twice.
void Lane::give_attempts_back(Worker& worker) {
  const auto trips = context_.floods.trips_so_far();
  std::map<std::int64_t, std::int32_t> attempts;  // by the row's id
  std::erase_if(failed_attempts_, [&](const FailedAttempt& f) {
    const auto trip = context_.floods.last_trip(f.handler);
    if (!trip || f.fingerprint != trip->fingerprint || f.at < trip->at - context_.floods.window()) return false;
    ++attempts[f.id];
    return true;
  });
  seen_trips_ = trips;
  if (attempts.empty()) return;
  if (!context_.stores.parked.give_back(worker.connection(), row_, attempts)) throw Fenced();
  DEJA_FAILPOINT(after_attempts_given_back);
  for (auto& row : drain_.rows)
    if (const auto found = attempts.find(row.id); found != attempts.end()) {
      row.attempts = std::max(0, row.attempts - found->second);
      row.record.view.attempt = row.attempts + 1;
    }
}

// What was refused and waits may be what the order is about.
void Lane::take_changes_of_operators(Worker& worker) {
  parked_changed_ = false;
  reload_parked(worker);
  if (!refused_in_drain_) return;
  refund_parked(worker);
  need_no_more();
  drain_ = {};
  not_before_ = {};
}

void Lane::remember(const ParkedChanges& changes) {
  const auto now = context_.clock.now();
  if (changes.reloaded) {
    aside_stale_ = true;  // the version is one for all that operators change
    auto reloaded = remembered(*changes.reloaded, now);
    reloaded.still_tried(parked_);
    parked_ = std::move(reloaded);
  }
  for (const auto id : changes.removed) parked_.remove(id);
  for (const auto& [id, delay] : changes.again) {
    parked_.set_due(id, now + delay);
    parked_.failed_again(id);
  }
  for (const auto& row : changes.added) parked_.add(remembered(row, now));
  for (const auto id : changes.promoted) parked_.set_due(id, now);
  for (const auto ordering : changes.released) parked_.release(ordering);
  for (const auto& [ordering, offset] : changes.held) parked_.hold(ordering, offset);
  for (const auto& [id, fingerprint] : changes.failed) failed_attempts_.push_back({now, id, runs_->name, fingerprint});
  while (!failed_attempts_.empty() && (failed_attempts_.size() > most_failed_attempts || failed_attempts_.front().at < now - context_.floods.window())) failed_attempts_.pop_front();
  if (parked_.empty()) waits_for_budget_ = false;
  parked_records_ = static_cast<std::int64_t>(parked_.size());
}

void Lane::forget_parked() {
  parked_.clear();
  failed_attempts_.clear();
  parked_records_ = 0;
  drain_ = {};
  drain_losses_ = {};
  refused_in_drain_ = drained_last_ = false;
  no_room_until_ = budget_until_ = {};
  waits_for_budget_ = false;
}

Next Lane::wake_for_parked(Next next) const {
  const auto due = next_drain();
  if (!due || next.when == Next::When::now || (next.when == Next::When::at && next.time <= *due)) return next;
  return Next::at(*due);
}

}  // namespace deja::runtime
