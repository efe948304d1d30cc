#include <algorithm>

#include "core/drain_turn.h"
#include "simulation/lane.h"
#include "simulation/process.h"
#include "simulation/simulation.h"

// What a lane does with its parked records, as src/runtime/lane_parked.cpp does it.

namespace deja::simulation {

namespace {
constexpr std::size_t longest_run = 100;  // postgres::ParkedStore::longest_run
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
  auto shape = drain_.plan.next(drain_.alone ? 1 : drain_.rows.size(), drain_.done);
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
  auto ids = decisions.due(parked_, now, std::min(core::BatchPlan::subtransaction_cache, simulation_.settings().batch_max), now >= budget_until_);
  ask_budget(ids);
  if (ids.empty()) return false;
  drain_ = {};
  drain_.alone = decisions.runs_parked_suspects_alone() && parked_.find(ids.front())->suspect;
  const auto& lane = simulation_.database().lanes[number_];
  const auto behind = drain_.alone ? 0 : std::min(longest_run, simulation_.settings().batch_max / ids.size());
  std::size_t heads = 0;
  for (const auto id : ids) {
    const auto found = lane.parked.find(id);
    if (found == lane.parked.end()) continue;
    ++heads;
    drain_.rows.push_back(found->second);
    if (found->second.next_at && found->second.wanted == Wanted::nothing) add_run(found->second, behind, ids);
  }
  if (heads < ids.size()) doubtful_ = true;
  return !drain_.rows.empty();
}

void Lane::add_run(const ParkedRow& head, std::size_t behind, const std::vector<std::int64_t>& picked) {
  if (!head.record->ordering) return;
  for (const auto* row : simulation_.database().lanes[number_].behind(*head.record)) {
    const auto* known = parked_.find(row->id);
    const bool once = std::find(picked.begin(), picked.end(), row->id) == picked.end();
    if (behind-- == 0 || known == nullptr || !once || !simulation_.decisions().fits_into_a_run(*known, *row)) return;
    drain_.rows.push_back(*row);
  }
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

}  // namespace deja::simulation
