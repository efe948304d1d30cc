#include "simulation/batch.h"

#include <algorithm>

#include "simulation/simulation.h"

namespace deja::simulation {

using core::Action;
using core::Disposition;
using core::Trouble;

Batch::Batch(Simulation& simulation, const Checker::Try& t, std::size_t lane, const LaneRow& mine, const core::ParkedSet& parked,
             const std::vector<ParkedRow>& rows, const core::BatchShape& shape)
    : simulation_(simulation), try_(t), lane_(lane), mine_(mine), parked_(parked), rows_(rows), shape_(shape) {
  for (std::size_t i = 0; i < t.records.size(); ++i) slots_.push_back({t.records[i], t.drain ? &rows_[i] : nullptr, {t.records[i]}, false});
}

BatchEnd Batch::run(BatchResult& result) {
  auto& database = simulation_.database();
  if (!simulation_.decisions().is_mine(database.lanes[lane_].row, mine_)) return {BatchEnd::Kind::fenced};
  see_changes_of_operators();
  if (try_.drain) look_at_parked();
  for (const auto& slot : slots_)
    if (const auto known = database.keys.find(slot.record->key); known != database.keys.end()) uses_[slot.record->key] = {known->second.digest, false};
  for (auto& slot : slots_) {
    if (!slot.settled) run(slot);
    if (end_) return *end_;
  }
  if (simulation_.dice().chance(simulation_.settings().repeats)) return {BatchEnd::Kind::repeat};
  fill(result);
  if (!simulation_.dice().chance(simulation_.settings().lost_replies)) {
    apply(result);
    return {};
  }
  if (simulation_.dice().chance(0.5)) apply(result);
  return {BatchEnd::Kind::in_doubt};
}

// D1: an operator changed parked rows since the owner read them.
void Batch::see_changes_of_operators() {
  const auto& lane = simulation_.database().lanes[lane_];
  if (lane.row.parked_version == mine_.parked_version) return;
  reloaded_.emplace();
  for (const auto& [id, row] : lane.parked) {
    changed_rows_.push_back(row);
    reloaded_->add(remembered(row, simulation_.now()));
  }
}

void Batch::look_at_parked() {
  const auto& parked = simulation_.database().lanes[lane_].parked;
  for (auto& slot : slots_) {
    const auto found = parked.find(slot.row->id);
    const bool there = found != parked.end() && (found->second.next_at || found->second.wanted != Wanted::nothing || in_its_turn(slot));
    if (there && simulation_.decisions().looks_again_at(*slot.row, found->second)) continue;
    leave(slot);
    hold_back(slot);
  }
}

void Batch::hold_back(const Slot& slot) {
  if (!slot.record->ordering) return;
  const auto [at, added] = waiting_.try_emplace(*slot.record->ordering, slot.record->offset);
  if (!added) at->second = std::min(at->second, slot.record->offset);
}

bool Batch::held_back(const Slot& slot) const {
  if (!slot.record->ordering) return false;
  const auto found = waiting_.find(*slot.record->ordering);
  return found != waiting_.end() && found->second < slot.record->offset;
}

bool Batch::in_its_turn(const Slot& slot) const {
  if (!slot.record->ordering) return false;
  const auto& parked = simulation_.database().lanes[lane_].parked;
  return std::all_of(parked.begin(), parked.end(), [&](const auto& p) {
    const auto& record = *p.second.record;
    const bool before = record.ordering == slot.record->ordering && record.partition == slot.record->partition && record.offset < slot.record->offset;
    return !before || std::any_of(slots_.begin(), slots_.end(), [&](const Slot& other) { return other.row->id == p.first; });
  });
}

void Batch::leave(Slot& slot) {
  slot.settled = slot.outcome.gone = true;
  slot.outcome.disposition = Disposition::parked;
}

const Batch::KeyUse* Batch::known_use(const LogRecord& record) const {
  const auto found = uses_.find(record.key);
  return found == uses_.end() ? nullptr : &found->second;
}

void Batch::run(Slot& slot) {
  if (slot.row != nullptr && slot.row->wanted == Wanted::dead_letter) return fail(slot, Trouble::by_operator);
  if (slot.row != nullptr && slot.row->wanted == Wanted::discard) {
    slot.settled = true;
    slot.outcome.disposition = Disposition::discarded;
    if (known_use(*slot.record) == nullptr) kept_keys_.push_back(slot.record);
    return;
  }
  const auto* known = known_use(*slot.record);
  if (known == nullptr) {
    if (!settle_as_twin(slot) && !end_) call(slot);
  } else if (known->digest == slot.record->digest) {
    slot.settled = true;
    slot.outcome.disposition = Disposition::duplicate;
  } else {
    fail(slot, Trouble::conflict);
    slot.outcome.disposition = Disposition::conflict;
  }
}

void Batch::call(Slot& slot) {
  if (shape_.forced) return fail(slot, shape_.forced->trouble);
  auto& record = *slot.record;
  const auto& script = record.script;
  slot.outcome.ran = true;
  const std::int32_t attempt = slot.row != nullptr ? slot.row->attempts + 1 : 1;
  simulation_.checker().called(record, simulation_.now());
  simulation_.trace(try_.process, [&] { return "calls the handler with " + text(record) + ", attempt " + std::to_string(attempt); });
  const auto answer = simulation_.answer_to(record, attempt);
  switch (answer) {
    case Answer::none: return end(BatchEnd::Kind::process_ended, slot);
    case Answer::refused: {
      const auto trouble = simulation_.decisions().refused();
      if (core::row_of(trouble).action != Action::pause) return fail(slot, trouble);
      return end(BatchEnd::Kind::dependency_away, slot, *script.dependency);
    }
    case Answer::returned:
      slot.settled = true;
      slot.outcome.disposition = Disposition::processed;
      uses_[record.key] = {record.digest, true};
      kept_keys_.push_back(&record);
      return;
    default:
      if (script.writes_first && !shape_.savepoints) return end(BatchEnd::Kind::needs_savepoints, slot);
      return fail(slot, answer == Answer::rejected ? Trouble::rejected : Trouble::exception);
  }
}

void Batch::end(BatchEnd::Kind kind, const Slot& slot, int dependency) {
  end_ = {kind, static_cast<std::size_t>(&slot - slots_.data()), dependency};
}

void Batch::fail(Slot& slot, Trouble trouble) {
  const auto& decisions = simulation_.decisions();
  const auto spent = slot.row != nullptr ? core::Spent{slot.row->attempts, decisions.waited(*slot.row, simulation_.now())} : core::Spent{};
  const auto& policy = simulation_.settings().retry;
  auto decision = decisions.decide(policy, trouble, spent, simulation_.dice().unit());
  slot.outcome.failed = core::row_of(trouble).action == Action::attempt;
  if (decision.action == Action::attempt && !has_room(slot)) {
    if (!simulation_.settings().park_or_die) return end(BatchEnd::Kind::no_room, slot);
    decision = core::decide(policy, Trouble::no_room, spent, 0);
  }
  if (!decisions.gives_up_key() && known_use(*slot.record) == nullptr) kept_keys_.push_back(slot.record);
  slot.outcome.cause = decision.cause;
  if (decision.action == Action::attempt) return park(slot, decision.delay);
  slot.settled = true;
  slot.outcome.disposition = Disposition::dead;
}

void Batch::park(Slot& slot, std::optional<milliseconds> delay) {
  slot.settled = true;
  slot.outcome.disposition = Disposition::parked;
  slot.outcome.delay = delay;
  hold_back(slot);
  if (!try_.drain) parked_here_.push_back(&slot);
}

bool Batch::has_to_wait(const Slot& slot) const {
  const auto& ordering = slot.record->ordering;
  return ordering && (held_back(slot) || simulation_.decisions().has_to_wait(parked(), *ordering));
}

bool Batch::has_room(const Slot& slot) const {
  if (try_.drain) return true;
  const auto& settings = simulation_.settings();
  const auto& decisions = simulation_.decisions();
  if (!decisions.has_room(parked().size() + parked_here_.size(), settings.park_max)) return false;
  const auto& ordering = slot.record->ordering;
  if (!ordering) return true;
  const auto here = std::count_if(parked_here_.begin(), parked_here_.end(), [&](const Slot* s) { return s->record->ordering == ordering; });
  return decisions.has_room(parked().count(*ordering) + static_cast<std::size_t>(here), settings.park_key_max);
}

bool Batch::settle_as_twin(Slot& slot) {
  if (try_.drain) {
    if (!held_back(slot) || !simulation_.decisions().leaves_in_its_place()) return false;
    leave(slot);
    return true;
  }
  const auto& record = *slot.record;
  const bool here = std::any_of(parked_here_.begin(), parked_here_.end(), [&](const Slot* s) { return s->record->key == record.key && s->record->digest == record.digest; });
  if (here || simulation_.decisions().has_twin(parked(), record)) {
    slot.settled = true;
    slot.outcome.disposition = Disposition::duplicate;
  } else if (has_to_wait(slot)) {
    if (has_room(slot)) park(slot, std::nullopt);
    else if (simulation_.settings().park_or_die) fail(slot, Trouble::no_room);
    else end(BatchEnd::Kind::no_room, slot);
  }
  return slot.settled;
}

void Batch::fill(BatchResult& result) {
  result.drain = try_.drain;
  result.row = mine_;
  result.row.batch_seq += 1;
  if (!try_.drain) result.row.next_offset = slots_.back().record->offset + 1;
  result.row.parked_version = simulation_.database().lanes[lane_].row.parked_version;
  if (reloaded_) result.parked.reloaded = changed_rows_;
  for (const auto& slot : slots_) {
    result.outcomes.push_back(slot.outcome);
    if (slot.outcome.ran && slot.row == nullptr) ++result.first_deliveries;
    if (slot.outcome.ran && slot.row != nullptr && slot.row->attempts == 0) ++result.first_deliveries;
    if (slot.outcome.gone || !try_.drain) continue;
    if (slot.outcome.disposition == Disposition::parked) result.parked.again.emplace_back(slot.row->id, *slot.outcome.delay);
    else result.parked.removed.push_back(slot.row->id);
  }
}

// All of it at one instant, as a commit has it.
void Batch::apply(BatchResult& result) {
  auto& database = simulation_.database();
  auto& lane = database.lanes[lane_];
  const auto now = simulation_.now();
  lane.row.batch_seq = result.row.batch_seq;
  lane.row.next_offset = result.row.next_offset;
  if (!try_.drain) simulation_.decisions().settle_suspects(lane.row.suspects, slots_.size());
  for (const auto* record : kept_keys_) database.keys.try_emplace(record->key, KeyRow{record->digest, record});
  for (const auto* slot : parked_here_) {
    ParkedRow row;
    row.id = database.next_parked++;
    row.record = slot->record;
    row.first_seen = now;
    if (const auto delay = slot->outcome.delay) {
      row.attempts = 1;
      row.waited = *delay;
      row.next_at = now + *delay;
    }
    lane.parked.emplace(row.id, row);
    result.parked.added.push_back(row);
  }
  for (const auto& [id, delay] : result.parked.again) {
    auto& row = lane.parked.at(id);
    ++row.attempts;
    row.suspect = false;
    row.starts = 0;
    row.waited += delay;
    row.next_at = now + delay;
  }
  std::set<std::uint64_t> left;
  for (const auto id : result.parked.removed) {
    const auto found = lane.parked.find(id);
    if (found == lane.parked.end()) continue;
    if (found->second.record->ordering) left.insert(*found->second.record->ordering);
    lane.parked.erase(found);
  }
  for (const auto ordering : left) {
    const ParkedRow* head = nullptr;
    for (const auto& [id, row] : lane.parked)
      if (row.record->ordering == ordering) head = simulation_.decisions().promoted(head, &row);
    if (head == nullptr || head->next_at) continue;
    lane.parked.at(head->id).next_at = now;
    result.parked.promoted.push_back(head->id);
  }
  for (const auto& slot : slots_)
    simulation_.trace(try_.process, [&] {
      return text(*slot.record) + " is " + std::string(slot.outcome.gone ? "left out" : core::word(slot.outcome.disposition)) +
             (slot.outcome.cause.empty() ? "" : " (" + std::string(slot.outcome.cause) + ")") +
             (slot.outcome.delay ? ", again after " + std::to_string(slot.outcome.delay->count()) + " ms" : "");
    });
  simulation_.not_tried_alone(lane_);
  simulation_.checker().committed(lane, result.outcomes, now);
}

}  // namespace deja::simulation
