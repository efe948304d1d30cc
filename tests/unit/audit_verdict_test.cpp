#include "core/audit_verdict.h"

#include <gtest/gtest.h>

// What the audit says of a record, from what the database holds about it.

namespace deja::core {
namespace {

using Holder = RecordFacts::Holder;
using Letter = RecordFacts::Letter;
constexpr Holder here{true, true, false}, elsewhere{false, true, false}, of_another_payload{false, false, false}, later{false, true, true};

Verdict verdict(const RecordFacts& facts) { return judge(facts).verdict; }
RecordFacts with(std::optional<Holder> holder, std::optional<Letter> letter = {}) {
  RecordFacts facts;
  facts.holder = holder;
  facts.letter = std::move(letter);
  return facts;
}
RecordFacts of_kind(RecordFacts::Key key, std::optional<Letter> letter = {}) {
  RecordFacts facts;
  facts.key = key;
  facts.letter = std::move(letter);
  return facts;
}

TEST(AuditVerdict, ARecordThatItsKeyNamesIsProcessed) { EXPECT_EQ(verdict(with(here)), Verdict::processed); }

TEST(AuditVerdict, ARecordWhoseKeyNamesAnotherOneWithTheSamePayloadIsADuplicate) {
  EXPECT_EQ(verdict(with(elsewhere)), Verdict::duplicate);
  EXPECT_FALSE(judge(with(elsewhere)).misordered);
}

TEST(AuditVerdict, ARecordWhoseKeyIsNotThereIsMissing) {
  EXPECT_EQ(verdict(with(std::nullopt)), Verdict::missing);
  EXPECT_FALSE(judge(with(std::nullopt)).why.empty());
}

TEST(AuditVerdict, ADuplicateOfALaterRecordOfItsLaneIsMisordered) {
  EXPECT_TRUE(judge(with(later)).misordered);
  EXPECT_FALSE(judge(with(later, Letter{"replayed", "exhausted"})).misordered) << "a dead letter gave up its place";
}

TEST(AuditVerdict, AnEffectBesideADeadLetterThatIsOpenIsDoubled) {
  EXPECT_EQ(verdict(with(here, Letter{"open", "rejected"})), Verdict::doubled);
  EXPECT_EQ(verdict(with(here, Letter{"replaying", "rejected"})), Verdict::doubled);
  EXPECT_EQ(verdict(with(here, Letter{"replayed", "rejected"})), Verdict::processed);
  EXPECT_EQ(verdict(with(here, Letter{"discarded", "rejected"})), Verdict::discarded) << "discarding claims the key";
}

TEST(AuditVerdict, ADeadLetterSaysHowItsRecordEnded) {
  EXPECT_EQ(verdict(with(std::nullopt, Letter{"open", "rejected"})), Verdict::dead);
  EXPECT_EQ(verdict(with(elsewhere, Letter{"open", "exhausted"})), Verdict::dead) << "a twin took effect later";
  EXPECT_EQ(verdict(with(of_another_payload, Letter{"open", "conflict"})), Verdict::conflict);
  EXPECT_EQ(verdict(with(std::nullopt, Letter{"open", "expired"})), Verdict::expired);
  EXPECT_EQ(verdict(with(std::nullopt, Letter{"replaying", "rejected"})), Verdict::parked);
  EXPECT_EQ(verdict(with(std::nullopt, Letter{"discarded", "rejected"})), Verdict::discarded);
  EXPECT_EQ(verdict(with(std::nullopt, Letter{"replayed", "rejected"})), Verdict::missing);
}

TEST(AuditVerdict, ARecordThatWaitsForAnotherAttemptIsParkedWhateverItsKey) {
  for (const auto key : {RecordFacts::Key::known, RecordFacts::Key::free, RecordFacts::Key::unreadable, RecordFacts::Key::unknown}) {
    auto facts = of_kind(key);
    facts.parked = true;
    EXPECT_EQ(verdict(facts), Verdict::parked);
  }
  auto facts = with(elsewhere, Letter{"replaying", "exhausted"});
  facts.parked = true;
  EXPECT_EQ(verdict(facts), Verdict::parked) << "a twin elsewhere was first, or its replay is on the way";
  facts = with(here);
  facts.parked = true;
  EXPECT_EQ(verdict(facts), Verdict::doubled) << "B3: its effect would have taken it out of the parked records";
}

TEST(AuditVerdict, B4_TheTwinOfAParkedOrDeadRecordIsADuplicateWithoutAKey) {
  auto facts = with(std::nullopt);
  facts.twin = true;
  EXPECT_EQ(verdict(facts), Verdict::duplicate);
  facts.holder = of_another_payload;
  EXPECT_EQ(verdict(facts), Verdict::duplicate) << "the parked record lost its key to another payload";
  facts.letter = Letter{"open", "conflict"};
  EXPECT_EQ(verdict(facts), Verdict::conflict) << "its own row says more";
}

TEST(AuditVerdict, AConflictThatIsNotKeptIsMissingUnlessConflictsAreOnlyReported) {
  auto facts = with(of_another_payload);
  EXPECT_EQ(verdict(facts), Verdict::missing);
  facts.reported_conflicts = true;
  EXPECT_EQ(verdict(facts), Verdict::conflict);
}

TEST(AuditVerdict, ARecordWithoutAKeyMustBeADeadLetter) {
  EXPECT_EQ(verdict(of_kind(RecordFacts::Key::unreadable)), Verdict::missing);
  EXPECT_EQ(verdict(of_kind(RecordFacts::Key::unreadable, Letter{"open", "key_missing"})), Verdict::dead);
  // an edit gave it a key, and the replay had its effect under that
  EXPECT_EQ(verdict(of_kind(RecordFacts::Key::unreadable, Letter{"replayed", "key_missing", Letter::Effect::here})), Verdict::processed);
  EXPECT_EQ(verdict(of_kind(RecordFacts::Key::unreadable, Letter{"replayed", "key_missing", Letter::Effect::elsewhere})), Verdict::duplicate);
  EXPECT_EQ(verdict(of_kind(RecordFacts::Key::unreadable, Letter{"replayed", "key_missing"})), Verdict::missing);
  EXPECT_EQ(verdict(of_kind(RecordFacts::Key::unreadable, Letter{"open", "key_missing", Letter::Effect::here})), Verdict::dead);
}

TEST(AuditVerdict, ProgressAloneProvesTheEffectOfAKeyFreeHandler) {
  EXPECT_EQ(verdict(of_kind(RecordFacts::Key::free)), Verdict::processed);
  EXPECT_EQ(verdict(of_kind(RecordFacts::Key::free, Letter{"open", "rejected"})), Verdict::dead);
}

TEST(AuditVerdict, WhatOnlyTheProgramCanComputeIsUncheckedNeverClean) {
  EXPECT_EQ(verdict(of_kind(RecordFacts::Key::unknown)), Verdict::unchecked);
  EXPECT_EQ(verdict(of_kind(RecordFacts::Key::unknown, Letter{"open", "rejected"})), Verdict::dead);
}

TEST(AuditVerdict, OfTwoKeysTheOneThatProvesMoreCounts) {
  RecordFacts facts;
  const Holder rising[] = {of_another_payload, later, elsewhere, here};
  for (const auto& holder : rising) {
    facts.add(holder);
    EXPECT_EQ(facts.holder->here, holder.here);
    EXPECT_EQ(facts.holder->same_digest, holder.same_digest);
    EXPECT_EQ(facts.holder->later_in_lane, holder.later_in_lane);
    facts.add(of_another_payload);
    EXPECT_EQ(facts.holder->here, holder.here);
  }
  EXPECT_EQ(verdict(facts), Verdict::processed);
}

TEST(AuditVerdict, WhatAnotherKeyMayProveIsUncheckedNotMissing) {
  for (const auto& holder : {std::optional<Holder>(), std::optional<Holder>(of_another_payload)}) {
    auto facts = with(holder);
    facts.another_key = true;
    EXPECT_EQ(verdict(facts), Verdict::unchecked);
    facts.letter = Letter{"open", "rejected"};
    EXPECT_EQ(verdict(facts), Verdict::dead);
  }
  auto facts = with(here);
  facts.another_key = true;
  EXPECT_EQ(verdict(facts), Verdict::processed);
}

TEST(AuditVerdict, WhatAnOperatorSkippedIsNotMissing) {
  auto facts = with(std::nullopt);
  facts.skipped = true;
  EXPECT_EQ(verdict(facts), Verdict::skipped);
  facts.holder = here;
  EXPECT_EQ(verdict(facts), Verdict::processed);
  auto without_keys = of_kind(RecordFacts::Key::free);
  without_keys.skipped = true;
  EXPECT_EQ(verdict(without_keys), Verdict::skipped);
}

}  // namespace
}  // namespace deja::core
