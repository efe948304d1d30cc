#include <algorithm>

#include "core/drain_turn.h"
#include "simulation/lane.h"
#include "simulation/process.h"
#include "simulation/simulation.h"

// Batches of a lane, of live records and of parked ones: what goes next, how it is tried, what its end means.

namespace deja::simulation {

namespace {
constexpr core::BackoffPolicy try_again_backoff{milliseconds(5), milliseconds(1000)};
}

bool Lane::drains_next() {
  core::LaneTurn turn;
  if (!needs_.empty()) turn.refused_in_drain = refused_in_drain_;
  turn.drain_begun = !drain_.rows.empty();
  turn.drain_due = next_drain();
  turn.drained_last = drained_last_;
  turn.live_held_up = simulation_.now() < no_room_until_;
  turn.live_waiting = live_waiting();
  return simulation_.decisions().drains_next(turn, simulation_.now());
}

std::optional<Time> Lane::next_drain() const { return core::next_drain(parked_, budget_until_); }

bool Lane::drain_is_due() const {
  const auto due = next_drain();
  return due && *due <= simulation_.now();
}

std::optional<Time> Lane::sooner(std::optional<Time> when) const {
  const auto due = next_drain();
  if (!due) return when;
  return when ? std::min(*when, *due) : due;
}

core::BatchShape Lane::next_shape() {
  const auto& decisions = simulation_.decisions();
  const auto first = current_.front()->offset;
  const bool alone = decisions.alone(suspects_, first);
  auto shape = plan_.next(alone ? 1 : current_.size(), first);
  const auto most = simulation_.settings().crash_max_starts;
  if (alone && !shape.forced && decisions.has_to_die_live(suspects_, first, most)) shape.forced = core::killed(most);
  return shape;
}

std::optional<Time> Lane::run_batch() {
  drained_last_ = false;
  if (const auto later = wait_for_breakers()) return later;
  if (!simulation_.settings().park_or_die && !simulation_.decisions().has_room(parked_.size(), simulation_.settings().park_max)) return no_room();
  simulation_.checker().turn_taken(this, false, needs_.empty() && drain_is_due());
  const auto shape = next_shape();
  Checker::Try t{this, process_.number()};
  t.records.assign(current_.begin(), current_.begin() + static_cast<std::ptrdiff_t>(shape.records));
  t.alone = simulation_.decisions().alone(suspects_, current_.front()->offset);
  return run(std::move(t), shape);
}

std::optional<Time> Lane::run_drain() {
  drained_last_ = true;
  if (const auto later = wait_for_breakers()) return later;
  if (drain_.rows.empty()) {
    refund();
    if (!load_drain()) return soon();
    simulation_.checker().turn_taken(this, true, needs_.empty() && live_waiting() && simulation_.now() >= no_room_until_);
  }
  const auto& front = drain_.rows.front();
  const auto most = simulation_.settings().crash_max_starts;
  auto shape = drain_.plan.next(drain_.alone ? 1 : drain_.rows.size(), 0);
  if (drain_.alone && !drain_.started && simulation_.decisions().has_to_die_parked(front.starts, most)) shape.forced = core::killed(most);
  Checker::Try t{this, process_.number()};
  for (std::size_t i = 0; i < shape.records; ++i) t.records.push_back(drain_.rows[i].record);
  t.drain = true;
  t.alone = drain_.alone;
  return run(std::move(t), shape);
}

bool Lane::load_drain() {
  const auto now = simulation_.now();
  const auto& decisions = simulation_.decisions();
  auto ids = decisions.due(parked_, now, std::min(core::BatchPlan::savepoint_slice, simulation_.settings().batch_max), now >= budget_until_);
  ask_budget(ids);
  if (ids.empty()) return false;
  drain_ = {};
  drain_.alone = decisions.runs_parked_suspects_alone() && parked_.find(ids.front())->suspect;
  const auto& lane = simulation_.database().lanes[number_];
  for (const auto id : ids)
    if (const auto found = lane.parked.find(id); found != lane.parked.end()) drain_.rows.push_back(found->second);
  if (drain_.rows.size() < ids.size()) doubtful_ = true;
  return !drain_.rows.empty();
}

void Lane::ask_budget(std::vector<std::int64_t>& ids) {
  const auto now = simulation_.now();
  const auto wanted = std::count_if(ids.begin(), ids.end(), [&](std::int64_t id) { return parked_.find(id)->again; });
  if (wanted == 0) return;
  const auto& decisions = simulation_.decisions();
  auto& database = simulation_.database();
  const auto granted = std::min<std::int64_t>(wanted, decisions.tokens(simulation_.settings().budget, database.spent(now, decisions.budget_window())));
  if (granted > 0) database.budget[second_of(now)].redeliveries += granted;
  if (granted == wanted) return;
  budget_until_ = now + milliseconds(500) + simulation_.dice().time(0, 200);
  decisions.keep_within_budget(ids, parked_, granted);
}

std::optional<Time> Lane::run(Checker::Try t, core::BatchShape shape) {
  t.runs = !shape.forced.has_value();
  try_ = std::move(t);
  shape_ = std::move(shape);
  if (process_.enter(*this, try_->alone)) begin();
  return std::nullopt;
}

void Lane::begin() {
  if (dead_) return;
  if (simulation_.now() < process_.frozen_until) {
    simulation_.at(process_.frozen_until, [this] { begin(); });
    return;
  }
  if (try_->alone && try_->runs && !commit_start()) {
    process_.leave(true);
    try_.reset();
    wake(*fence());
    return;
  }
  simulation_.trace(process_.number(), [&] { return "begins a " + std::string(try_->drain ? "drain" : "batch") + (try_->alone ? " alone" : "") + " on lane " + std::to_string(number_) + " from " + text(*try_->records.front()) + ", " + std::to_string(try_->records.size()) + " records"; });
  simulation_.checker().begins(*try_, simulation_.database().lanes[number_], simulation_.now());
  simulation_.after(simulation_.dice().time(1, simulation_.settings().call.count()), [this] { finish(); });
}

// R1: in a transaction of its own, before the record runs. False: fenced.
bool Lane::commit_start() {
  const auto& decisions = simulation_.decisions();
  if (try_->drain) {
    auto& row = drain_.rows.front();
    if (drain_.started) return true;
    if (!note_parked_start(row, row.starts + 1)) return false;
    simulation_.tried_alone(number_, row.record);
    drain_.started = true;
    return true;
  }
  const auto offset = try_->records.front()->offset;
  const auto starts = decisions.start_of(suspects_, offset);
  if (!starts) return true;
  if (!note_start(offset, *starts)) return false;
  simulation_.tried_alone(number_, try_->records.front());
  suspects_.started(offset);
  return true;
}

bool Lane::note_start(std::int64_t offset, std::int32_t starts) {
  auto& row = simulation_.database().lanes[number_].row;
  if (row.token != row_.token || row.batch_seq != row_.batch_seq) return false;
  row.suspects.from = offset;
  row.suspects.starts = starts;
  return true;
}

bool Lane::note_parked_start(ParkedRow& row, std::int32_t starts) {
  auto& lane = simulation_.database().lanes[number_];
  const auto found = lane.parked.find(row.id);
  if (lane.row.token != row_.token || lane.row.batch_seq != row_.batch_seq || found == lane.parked.end()) return false;
  found->second.starts = row.starts = starts;
  return true;
}

// The process lives on, and the record waits. One that is fenced meanwhile will notice.
void Lane::refund() {
  if (drain_.started && !drain_.rows.empty()) {
    if (note_parked_start(drain_.rows.front(), drain_.rows.front().starts - 1)) simulation_.not_tried_alone(number_);
    drain_.started = false;
  }
  if (current_.empty()) return;
  const auto refund = simulation_.decisions().refund(suspects_, current_.front()->offset);
  if (!refund || !note_start(refund->offset, refund->starts)) return;
  suspects_.refunded();
  simulation_.not_tried_alone(number_);
}

void Lane::finish() {
  if (dead_) return;
  if (simulation_.now() < process_.frozen_until) {
    simulation_.at(process_.frozen_until, [this] { finish(); });
    return;
  }
  BatchResult result;
  Batch batch(simulation_, *try_, number_, row_, parked_, drain_.rows, shape_);
  const auto how = batch.run(result);
  if (how.kind == BatchEnd::Kind::process_ended) return simulation_.end(process_);
  simulation_.checker().ends(this);
  end(how, result);
}

void Lane::end(const BatchEnd& how, BatchResult& result) {
  const auto t = std::move(*try_);
  auto& plan = t.drain ? drain_.plan : plan_;
  std::optional<Time> next = soon();
  switch (how.kind) {
    case BatchEnd::Kind::committed: committed(result); break;
    case BatchEnd::Kind::in_doubt:
      in_doubt_ = std::move(result);
      doubtful_ = true;
      next = wait();
      break;
    case BatchEnd::Kind::fenced: next = fence(); break;
    case BatchEnd::Kind::needs_savepoints: plan.needs_savepoints(t.drain ? static_cast<std::int64_t>(t.records.size()) - 1 : t.records.back()->offset); break;
    case BatchEnd::Kind::repeat:
      next = not_before_ = simulation_.now() + core::full_jitter(try_again_backoff, plan.repeat(t.records.size()), simulation_.dice().unit());
      give_turns_back();
      refund();
      break;
    case BatchEnd::Kind::no_room:
      if (how.index > 0) plan.stop_before(how.index);
      else next = no_room();
      break;
    case BatchEnd::Kind::dependency_away:
      if (how.index > 0) {
        plan.stop_before(how.index);
        break;
      }
      simulation_.checker().refused(t, how.dependency, simulation_.now());
      refund();
      refused_in_drain_ = t.drain;
      next = refused(how.dependency);
      break;
    case BatchEnd::Kind::process_ended: break;
  }
  try_.reset();
  process_.leave(t.alone);
  if (next) wake(*next);
}

void Lane::committed(BatchResult& result) {
  if (result.drain == refused_in_drain_) {
    if (result.outcomes.front().disposition == core::Disposition::processed) granted();
    else need_no_more();
  }
  process_.unreported += result.first_deliveries;
  row_.batch_seq = result.row.batch_seq;
  row_.next_offset = result.row.next_offset;
  row_.parked_version = result.row.parked_version;
  const auto done = static_cast<std::ptrdiff_t>(result.outcomes.size());
  const bool gone = result.outcomes.front().gone;
  remember(result.parked);
  if (result.drain) {
    if (drain_.started && gone) note_parked_start(drain_.rows.front(), drain_.rows.front().starts - 1);
    drain_.rows.erase(drain_.rows.begin(), drain_.rows.begin() + done);
    drain_.started = false;
    drain_.plan.committed(drain_.rows.empty() ? std::nullopt : std::optional<std::int64_t>(0));
    no_room_until_ = {};
  } else {
    current_.erase(current_.begin(), current_.begin() + done);
    plan_.committed(current_.empty() ? std::nullopt : std::optional(current_.front()->offset));
  }
  failures_ = 0;
}

void Lane::remember(const ParkedChanges& changes) {
  const auto now = simulation_.now();
  if (changes.reloaded) {
    parked_.clear();
    for (const auto& row : *changes.reloaded) parked_.add(remembered(row, now));
  }
  for (const auto id : changes.removed) parked_.remove(id);
  for (const auto& [id, delay] : changes.again) {
    parked_.set_due(id, now + delay);
    parked_.failed_again(id);
  }
  for (const auto& row : changes.added) parked_.add(remembered(row, now));
  for (const auto id : changes.promoted) parked_.set_due(id, now);
}

// D1. False: fenced.
bool Lane::reload_parked() {
  const auto& lane = simulation_.database().lanes[number_];
  if (lane.row.token != row_.token || lane.row.batch_seq != row_.batch_seq) return false;
  ParkedChanges changes;
  changes.reloaded.emplace();
  for (const auto& [id, row] : lane.parked) changes.reloaded->push_back(row);
  row_.parked_version = lane.row.parked_version;
  remember(changes);
  return true;
}

void Lane::forget_parked() {
  parked_.clear();
  drain_ = {};
  refused_in_drain_ = drained_last_ = false;
  no_room_until_ = budget_until_ = {};
}

std::optional<Time> Lane::no_room() {
  refund();
  no_room_until_ = simulation_.now() + milliseconds(1000);
  return closing_ ? soon() : sooner(no_room_until_);
}

}  // namespace deja::simulation
