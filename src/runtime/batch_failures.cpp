#include <algorithm>

#include "core/utf8.h"
#include "failpoints/failpoint.h"
#include "runtime/batch.h"
#include "runtime/batch_slot.h"
#include "runtime/dead_letter_event.h"
#include "runtime/failures.h"

// What becomes of a record that cannot take effect now: parked, a dead letter, or what an operator wants of it.

namespace deja::runtime {

using core::Disposition;

namespace {
constexpr std::size_t longest_words = 200;

core::RetryPolicy narrowed(core::RetryPolicy policy, const detail::HandlerSpec& handler) {
  policy.max_attempts = std::min(policy.max_attempts, handler.max_attempts);
  if (handler.backoff_base.count() > 0) policy.backoff = {handler.backoff_base, handler.backoff_max};
  return policy;
}
}  // namespace

void Batch::fail(Slot& slot, core::Trouble trouble, std::string error, const std::string& type) {
  const auto& p = *slot.prepared;
  const auto& row = core::row_of(trouble);
  const auto* before = p.parked;
  const core::Spent spent = before ? core::Spent{before->attempts - (before->replay ? before->replay->attempts_before : 0), before->waited} : core::Spent{};
  const auto policy = narrowed(settings_.retry, spec_);
  auto letter = dead_letter_of(p, spec_.name, row.cause, row.stage, std::move(error), type);
  if (floods_ && core::may_be_outage(trouble)) {  // before room is asked for: what is held needs none
    if (const auto flood = floods_->holds(spec_.name, letter.fingerprint)) throw Flood(static_cast<std::size_t>(&slot - slots_.data()), *flood);
    // what is replayed is known to have failed, and tells nothing new
    if (!before || !before->replay) slot.suspicion = {letter.fingerprint, std::string(core::utf8_prefix(type + ": " + letter.error, longest_words))};
  }
  auto decision = core::decide(policy, trouble, spent, random_.unit());
  if (decision.action == core::Action::attempt && !has_room(slot)) {
    if (!settings_.park_or_die) throw NoRoom(static_cast<std::size_t>(&slot - slots_.data()));
    decision = core::decide(policy, trouble = core::Trouble::no_room, spent, 0);
    letter.stage = core::row_of(trouble).stage;
    letter.error += " (there is no room to park it: park.max.records, park.key.max.records)";
  }
  letter.cause = decision.cause;
  const auto stage = row.stage;
  if (stage == "handler" || stage == "commit" || stage == "process") ++(row.trouble == core::Trouble::rejected ? rejections_ : failures_);
  if (stage != "key" && stage != "claim") give_up_keys(slot);
  if (decision.action == core::Action::attempt)
    return park(slot, postgres::ParkedFailure{letter.cause, letter.stage, letter.error, letter.fingerprint}, decision.delay);
  slot.settled = true;
  slot.outcome.disposition = Disposition::dead;
  slot.outcome.cause = letter.cause;
  slot.outcome.error = letter.error;
  slot.letter = std::move(letter);
  if (settings_.hold) hold_back(slot);
  if (trouble == core::Trouble::conflict) {
    slot.letter->conflict_lane = slot.outcome.first.lane;
    slot.letter->conflict_offset = slot.outcome.first.offset;
  }
}

void Batch::fail_as_forced(Slot& slot) { fail(slot, forced_->trouble, forced_->error, std::string(core::row_of(forced_->trouble).stage)); }

// B3: a key row means that an effect was committed.
void Batch::give_up_keys(const Slot& slot) {
  slot.prepared->each_key([&](const core::Uuid& key) {
    // only what was claimed for this batch: another record's effect may hold the key
    if (auto& use = keys_.at(key); use.state == KeyState::claimed) use.state = KeyState::unclaimed;
  });
}

void Batch::park(Slot& slot, std::optional<postgres::ParkedFailure> failure, std::chrono::milliseconds delay) {
  slot.settled = true;
  slot.outcome.disposition = Disposition::parked;
  if (failure) {
    slot.outcome.cause = failure->cause;
    slot.outcome.error = failure->error;
  }
  slot.parking = Slot::Parking{std::move(failure), delay};
  hold_back(slot);
  if (!drain_) parked_here_.push_back(&slot);
}

void Batch::hold_back(const Slot& slot) {
  if (!slot.prepared->ordering) return;
  const auto place = place_of(slot);
  const auto [at, added] = waiting_.try_emplace(*slot.prepared->ordering, place);
  if (!added) at->second = std::min(at->second, place);
}

bool Batch::held_back(const Slot& slot) const {
  if (!slot.prepared->ordering) return false;
  const auto found = waiting_.find(*slot.prepared->ordering);
  return found != waiting_.end() && found->second < place_of(slot);
}

Batch::Place Batch::place_of(const Slot& slot) const {
  const auto* parked = slot.prepared->parked;
  return {!parked || parked->incarnation == row_.incarnation, slot.outcome.offset};
}

// R5: in the order of the log among records of one ordering key; with dlq.order = hold dead letters keep their place in it.
bool Batch::has_to_wait(const Slot& slot) const {
  const auto& ordering = slot.prepared->ordering;
  return ordering && (held_back(slot) || parked().count(*ordering) > 0 || parked().held(*ordering, slot.outcome.offset));
}

bool Batch::has_room(const Slot& slot) const {
  if (drain_) return true;  // it has its place
  if (parked().size() + parked_here_.size() >= settings_.park_max) return false;
  const auto& ordering = slot.prepared->ordering;
  if (!ordering) return true;
  const auto here = std::count_if(parked_here_.begin(), parked_here_.end(), [&](const Slot* s) { return s->prepared->ordering == ordering; });
  return parked().count(*ordering) + static_cast<std::size_t>(here) < settings_.park_key_max;
}

// B4: the twin of a record that is parked in this lane is a duplicate of it at once; else there could be a million rows of one key.
// What comes after a parked record of its ordering key waits behind it, without being run and without its key.
bool Batch::settle_as_twin(Slot& slot) {
  if (drain_) return slot.settled || leave_in_its_place(slot);
  if (slot.settled || (parked().nothing_waited_for() && parked_here_.empty() && waiting_.empty())) return slot.settled;
  const auto& p = *slot.prepared;
  p.each_key([&](const core::Uuid& key) {
    if (slot.settled) return;
    std::optional<std::int64_t> twin;
    if (const auto* found = parked().twin(key, p.digest)) twin = found->offset;
    for (const auto* other : parked_here_)
      if (!twin && other->prepared->digest == p.digest) other->prepared->each_key([&](const core::Uuid& k) { if (k == key) twin = other->outcome.offset; });
    if (!twin) return;
    slot.settled = true;
    slot.outcome.disposition = Disposition::duplicate;
    slot.outcome.cause = core::cause::producer;
    const auto& view = p.source->view;
    slot.outcome.first = {p.digest, row_.id, *twin, 0.0, std::string(view.topic), view.partition};
  });
  if (!slot.settled && has_to_wait(slot)) {
    if (!has_room(slot)) {
      if (!settings_.park_or_die) throw NoRoom(static_cast<std::size_t>(&slot - slots_.data()));
      fail(slot, core::Trouble::no_room, "earlier records of its ordering key are parked or hold it, and there is no room to park it behind them (park.max.records, park.key.max.records)", "no room");
      return true;
    }
    park(slot, std::nullopt, {});
  }
  if (!slot.settled) return false;
  slot.ran = false;  // for nothing, in a call that was taken back
  give_up_keys(slot);
  return true;
}

// R5: it was to run after one that stays.
bool Batch::leave_in_its_place(Slot& slot) {
  if (!held_back(slot)) return false;
  slot.settled = slot.outcome.gone = true;
  slot.outcome.disposition = Disposition::parked;
  slot.ran = false;
  give_up_keys(slot);
  return true;
}

// Without being run. Its key is claimed for a discard, so that no twin takes effect later.
void Batch::obey(Slot& slot) {
  const auto& parked = *slot.prepared->parked;
  if (parked.wanted == "dead-letter") return fail(slot, core::Trouble::by_operator, "an operator's decision: " + parked.wanted_reason, "operator");
  slot.settled = true;
  slot.outcome.disposition = Disposition::discarded;
  slot.letter = dead_letter_of(*slot.prepared, spec_.name, core::cause::by_operator, "operator", "an operator's decision: " + parked.wanted_reason, "operator");
  slot.letter->discarded = true;
  if (known_use(*slot.prepared) == nullptr) keep_keys(slot);
}

// What was a dead letter before goes back to its row, with what became of it.
Batch::Letters Batch::close_letters() {
  Letters closed;
  std::vector<postgres::NewDeadLetter> fresh, again;
  std::vector<postgres::EndedReplay> ended;
  for (auto& slot : slots_) {
    if (slot.letter && !slot.letter->discarded) slot.letter->event_topic = settings_.dlq_topic;
    const auto* parked = slot.prepared->parked;
    if (!parked || !parked->replay) {
      if (slot.letter) fresh.push_back(*slot.letter);
    } else if (slot.letter && !slot.letter->discarded) {
      slot.letter->replayed = parked->replay->dead_letter;
      again.push_back(*slot.letter);
    } else if (!slot.outcome.gone && !slot.parking) {
      const auto& p = *slot.prepared;
      ended.push_back({parked->replay->dead_letter, slot.outcome.disposition, p.key, p.key ? std::optional(p.raw_key) : std::nullopt, p.key || p.previous_key ? std::optional(p.digest) : std::nullopt});
      if (p.ordering) closed.released.push_back(*p.ordering);
    }
  }
  closed.ids = stores_.dead_letters.insert(connection_, row_, fresh);
  if (!fresh.empty()) DEJA_FAILPOINT(after_dead_letters);
  if (!again.empty()) {
    const auto ids = stores_.dead_letters.open_again(connection_, again);
    DEJA_FAILPOINT(after_open_again);
    closed.ids.insert(closed.ids.end(), ids.begin(), ids.end());
  }
  if (!ended.empty()) {
    closed.notices = stores_.dead_letters.end(connection_, ended);
    DEJA_FAILPOINT(after_replays_ended);
  }
  return closed;
}

// D1: an operator changed parked rows since the owner read them.
void Batch::see_changes_of_operators() {
  if (start_.parked_version == row_.parked_version) return;
  changed_rows_ = stores_.parked.load(connection_, row_.id, settings_.hold);
  DEJA_FAILPOINT(after_parked_reload);
  reloaded_ = remembered(changed_rows_, {});
}

// D1: what was picked may have been changed before this transaction had the lane.
void Batch::look_at_parked() {
  std::vector<std::int64_t> ids;
  std::unordered_set<std::uint64_t> orderings;
  bool runs = false;  // of several records of one ordering key
  for (const auto& slot : slots_) {
    ids.push_back(slot.prepared->parked->id);
    if (slot.prepared->ordering) runs = !orderings.insert(*slot.prepared->ordering).second || runs;
  }
  const auto there = stores_.parked.look(connection_, row_.id, ids, runs);
  DEJA_FAILPOINT(after_drain_look);
  for (auto& slot : slots_) {
    const auto found = there.find(slot.prepared->parked->id);
    const auto& read = *slot.prepared->parked;
    if (found != there.end() && found->second.starts == read.starts && found->second.wanted == read.wanted) continue;
    slot.settled = slot.outcome.gone = true;
    slot.outcome.disposition = Disposition::parked;
    hold_back(slot);
  }
}

// R2: before anything of it counts. A record counts once, when it is tried for the first time under this owner: what the owner before
// saw, this one does not know.
void Batch::look_for_flood(BatchResult& result) {
  std::map<std::string, std::string> words;
  for (const auto& slot : slots_) {
    const auto* parked = slot.prepared->parked;
    if (parked && parked->replay) continue;
    const auto* known = parked ? parked_.find(parked->id) : nullptr;
    if (known && known->tried) {
      if (slot.suspicion) result.failed_again.push_back(slot.suspicion->fingerprint);
      continue;
    }
    if (!slot.ran && !slot.suspicion) continue;
    ++result.first_tries.records;
    if (!slot.suspicion) continue;
    ++result.first_tries.failed[slot.suspicion->fingerprint];
    words.emplace(slot.suspicion->fingerprint, slot.suspicion->words);
  }
  if (!floods_) return;
  const auto cause = floods_->trips(spec_.name, result.first_tries, words);
  if (!cause) return;
  const auto first = std::find_if(slots_.begin(), slots_.end(), [&](const Slot& slot) { return slot.suspicion && slot.suspicion->fingerprint == *cause; });
  throw Flood(static_cast<std::size_t>(first - slots_.begin()), words.at(*cause));
}

void Batch::close_parked(BatchResult& result) {
  auto& changes = result.parked;
  if (reloaded_) changes.reloaded = changed_rows_;
  if (!drain_) {
    std::vector<postgres::NewParked> records;
    for (const auto* slot : parked_here_) {
      const auto& p = *slot->prepared;
      records.push_back({p.source, spec_.name, p.ordering, p.key, p.previous_key, p.key ? std::optional(p.raw_key) : std::nullopt, p.key || p.previous_key ? std::optional(p.digest) : std::nullopt,
                         slot->parking->failure, slot->parking->delay});
    }
    const auto ids = stores_.parked.insert(connection_, row_, records);
    if (!ids.empty()) DEJA_FAILPOINT(after_parked);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const auto& r = records[i];
      const bool ran = r.failure.has_value();
      changes.added.push_back({{ids[i], r.record->view.offset, r.ordering, r.key, r.previous_key, r.digest.value_or(0), {}, false, ran, r.record->size},
                               ran ? std::optional(r.delay) : std::nullopt});
      changes.added.back().record.tried = ran;
      if (ran) changes.failed.emplace_back(ids[i], r.failure->fingerprint);
    }
    promote_reread(changes, records);
    return;
  }
  std::vector<std::uint64_t> orderings;
  for (auto& slot : slots_) {
    const auto& row = *slot.prepared->parked;
    if (slot.outcome.gone) {
      continue;
    } else if (slot.parking) {
      stores_.parked.again(connection_, row.id, *slot.parking->failure, slot.parking->delay);
      DEJA_FAILPOINT(after_parked_again);
      changes.again.emplace_back(row.id, slot.parking->delay);
      changes.failed.emplace_back(row.id, slot.parking->failure->fingerprint);
    } else {
      changes.removed.push_back(row.id);
      if (row.ordering) orderings.push_back(*row.ordering);
    }
  }
  if (changes.removed.empty()) return;
  changes.promoted = stores_.parked.remove(connection_, row_.id, changes.removed, orderings);
  DEJA_FAILPOINT(after_unparked);
}

// One that had a row already (D2) has the place of that row.
void Batch::remember_held(BatchResult& result, const Letters& letters) const {
  if (!settings_.hold) return;
  if (!letters.released.empty()) {  // another dead letter of the key may hold it
    result.parked.released = letters.released;
    result.parked.held = stores_.parked.held(connection_, row_.id, letters.released);
    DEJA_FAILPOINT(after_held_look);
  }
  if (letters.ids.empty()) return;
  std::unordered_set<std::int64_t> stored;
  for (const auto& id : letters.ids) stored.insert(id.offset);
  for (const auto& slot : slots_) {
    if (!slot.letter || slot.letter->discarded || !slot.letter->ordering || !stored.contains(slot.outcome.offset)) continue;
    const bool of_log_before = slot.letter->incarnation && *slot.letter->incarnation != row_.incarnation;
    result.parked.held.emplace_back(*slot.letter->ordering, of_log_before ? -1 : slot.outcome.offset);
  }
}

// What is read again (D2) may lie before the rows that it was parked behind, and where those are held nobody would ever promote it.
void Batch::promote_reread(ParkedChanges& changes, const std::vector<postgres::NewParked>& records) {
  if (!settings_.hold) return;
  std::vector<std::uint64_t> orderings;
  for (const auto& r : records)
    if (r.ordering && !r.failure && r.record->view.offset < row_.reread_until) orderings.push_back(*r.ordering);
  if (orderings.empty()) return;
  changes.promoted = stores_.parked.remove(connection_, row_.id, {}, orderings);
  DEJA_FAILPOINT(after_unparked);
}

core::ParkedRecord remembered(const postgres::ParkedSummary& summary, core::Steady::time_point now) {
  auto record = summary.record;
  if (summary.due_in) record.due = now + *summary.due_in;
  return record;
}

core::ParkedSet remembered(const postgres::ParkedView& view, core::Steady::time_point now) {
  core::ParkedSet set;
  for (const auto& row : view.rows) set.add(remembered(row, now));
  for (const auto& [ordering, offset] : view.held) set.hold(ordering, offset);
  return set;
}

}  // namespace deja::runtime
