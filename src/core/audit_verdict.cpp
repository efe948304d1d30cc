#include "core/audit_verdict.h"

#include "core/disposition.h"

namespace deja::core {

namespace {
Judgement by_letter(const RecordFacts::Letter& letter) {
  if (letter.status == "discarded") return {Verdict::discarded};
  if (letter.status == "replaying") return {Verdict::parked};
  if (letter.cause == cause::conflict) return {Verdict::conflict};
  if (letter.cause == "expired") return {Verdict::expired};
  return {Verdict::dead};
}

// A record without a dead letter, or whose dead letter was replayed: the key decides.
Judgement by_key(const RecordFacts& facts) {
  if (!facts.holder) {
    if (facts.twin) return {Verdict::duplicate};
    return {Verdict::missing, false, "no effect is committed under its key, and it is neither parked nor a dead letter"};
  }
  if (facts.holder->here) return {Verdict::processed};
  if (facts.holder->same_digest) {
    if (!facts.holder->later_in_lane) return {Verdict::duplicate};
    return {Verdict::duplicate, true, "a later record of the same lane took effect under its key"};
  }
  if (facts.twin) return {Verdict::duplicate};  // which lost the key to another payload
  if (facts.reported_conflicts) return {Verdict::conflict};
  return {Verdict::missing, false, "its key belongs to another record with another payload, and it is no dead letter (a conflict under dedup.conflict = report leaves none)"};
}

int proof(const RecordFacts::Holder& holder) {
  if (holder.here) return 3;
  return holder.same_digest ? (holder.later_in_lane ? 1 : 2) : 0;
}
}  // namespace

void RecordFacts::add(const Holder& other) {
  if (!holder || proof(other) > proof(*holder)) holder = other;
}

Judgement judge(const RecordFacts& facts) {
  if (facts.parked) {
    if (facts.holder && facts.holder->here) return {Verdict::doubled, false, "it has a committed effect and is still parked"};
    return {Verdict::parked};
  }
  const bool replayed = facts.letter && facts.letter->status == "replayed";
  if (facts.letter && !replayed) {
    const auto judged = by_letter(*facts.letter);
    // `discard` claims the key for the record itself (B4); any other open letter says that there is no effect.
    if (facts.holder && facts.holder->here && judged.verdict != Verdict::discarded)
      return {Verdict::doubled, false, "it has both a committed effect and a dead letter that is not replayed"};
    return judged;
  }
  switch (facts.key) {
    case RecordFacts::Key::free: return {facts.skipped ? Verdict::skipped : Verdict::processed};
    case RecordFacts::Key::unknown: return {Verdict::unchecked, false, "only the program can compute its key"};
    case RecordFacts::Key::unreadable:
      if (replayed && facts.letter->effect != RecordFacts::Letter::Effect::none)
        return {facts.letter->effect == RecordFacts::Letter::Effect::here ? Verdict::processed : Verdict::duplicate};
      if (facts.skipped) return {Verdict::skipped};
      return {Verdict::missing, false, "it has no idempotency key, and it is no dead letter"};
    case RecordFacts::Key::known: break;
  }
  auto judged = by_key(facts);
  if (replayed) judged.misordered = false;  // a dead letter gave up its place
  if (judged.verdict != Verdict::missing) return judged;
  if (facts.skipped) return {Verdict::skipped};
  if (facts.another_key) return {Verdict::unchecked, false, "only the program can compute the key it may have by the recipe before"};
  return judged;
}

}  // namespace deja::core
