#include <gtest/gtest.h>

#include <chrono>
#include <stdexcept>

#include <deja/query.h>

#include "support/lane_rig.h"

// Parking within the batch transaction, on a real Postgres. What becomes of parked records afterwards is in tests/faults/redelivery.py.

namespace deja::test {
namespace {

using namespace std::chrono_literals;

constexpr const char* tables = "create table effects (id bigint generated always as identity, value text);";
const runtime::KeySettings keys_of_tests{"test", "", "", {}};
const core::RetryPolicy five{5, {1s, 10s}, 1h};

struct UnknownAccount : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct ClosedAccount : UnknownAccount {
  using UnknownAccount::UnknownAccount;
};

void act(const Record& record, Transaction& tx) {
  if (record.value() == "throw") throw std::runtime_error("boom");
  if (record.value() == "int") throw 7;
  if (record.value() == "final") throw UnknownAccount("of nobody");
  if (record.value() == "derived") throw ClosedAccount("long ago");
  if (record.value() == "reject") throw Reject("poison");
  tx.insert("effects", {{"value", record.value()}});
}

struct Plain {
  static constexpr auto name = "plain";
  static constexpr auto idempotency = by_header("Idempotency-Key");
  static constexpr auto ordering = by_key([](const Record& r) { return r.header("account"); });
  void handle(const Record& record, Transaction& tx) { act(record, tx); }
};

struct Narrowed {
  static constexpr auto name = "narrowed";
  static constexpr auto idempotency = by_header("Idempotency-Key");
  static constexpr auto retry = deja::retry().attempts(2).backoff(20s, 20s).final_errors<UnknownAccount>();
  void handle(const Record& record, Transaction& tx) { act(record, tx); }
};

struct Once {
  static constexpr auto name = "once";
  static constexpr auto idempotency = by_header("Idempotency-Key");
  static constexpr auto retry = deja::retry().attempts(1);
  void handle(const Record& record, Transaction& tx) { act(record, tx); }
};

struct InBatches {
  static constexpr auto name = "in-batches";
  static constexpr auto idempotency = by_header("Idempotency-Key");
  static constexpr auto ordering = by_key([](const Record& r) { return r.header("account"); });
  void handle(std::span<const Record> records, BatchTransaction& tx) {
    for (const auto& r : records) {
      if (r.value() == "throw") throw std::runtime_error("boom");
      if (r.value() == "reject") {
        tx.reject(r, "poison");
        continue;
      }
      if (r.value() == "ask") tx.query("select 1");
      tx.insert("effects", {{"value", r.value()}});
    }
  }
};

RigRecord record(const std::string& key, const std::string& value, const std::string& account) {
  return {value, {{"Idempotency-Key", key}, {"account", account}}};
}

TEST(Parking, R5_WhatFailsIsParkedAndWhatFollowsItWaitsWithoutItsKey) {
  const RigDatabase database(tables);
  auto lane = LaneRig::of<Plain>(database, 0, keys_of_tests);
  lane.allow(five);
  EXPECT_EQ(lane.run({record("1", "throw", "a"), record("2", "x", "b"), record("3", "y", "a"), record("4", "z", "b")}), "parked processed parked processed");
  EXPECT_EQ(lane.run({record("5", "v", "a"), record("6", "int", "c")}), "parked parked") << "in a later batch as well";
  EXPECT_EQ(database.value("select string_agg(value, ' ' order by id) from effects"), "x z");
  EXPECT_EQ(database.value("select count(*) from deja.keys_1"), "2") << "B3: a key row means that an effect was committed";
  EXPECT_EQ(database.value("select string_agg(\"offset\" || ':' || attempt || case when next_at is null then '' else '!' end, ' ' order by \"offset\") from deja.parked"),
            "0:1! 2:0 4:0 5:1!") << "one head of each ordering key";
}

TEST(Parking, B4_ATwinOfAParkedRecordIsADuplicateAtOnce) {
  const RigDatabase database(tables);
  auto lane = LaneRig::of<Plain>(database, 0, keys_of_tests);
  lane.allow(five);
  EXPECT_EQ(lane.run({record("1", "throw", "a"), record("1", "throw", "a"), record("1", "throw", "b")}), "parked duplicate duplicate") << "within a batch";
  EXPECT_EQ(lane.run({record("1", "throw", "c"), record("1", "other", "d"), record("1", "other", "a")}), "duplicate processed duplicate")
      << "another payload under another ordering key runs";
  EXPECT_EQ(database.value("select count(*) from deja.parked"), "1");
}

TEST(Parking, AHandlerNarrowsWhatTheConfigurationSays) {
  const RigDatabase database(tables);
  auto lane = LaneRig::of<Narrowed>(database, 0, keys_of_tests);
  lane.allow(five);
  EXPECT_EQ(lane.run({record("1", "throw", "a"), record("2", "final", "b"), record("3", "derived", "c"), record("4", "reject", "d"), record("5", "int", "e")}),
            "parked dead:exhausted dead:exhausted dead:rejected parked");
  EXPECT_EQ(database.value("select bool_and(waited_ms between 0 and 20000) and max(waited_ms) > 1000 from deja.parked"), "t") << "its own backoff";
  auto once = LaneRig::of<Once>(database, 1, keys_of_tests);
  once.allow(five);
  EXPECT_EQ(once.run({record("6", "throw", "a")}), "dead:exhausted");
  auto none = LaneRig::of<Narrowed>(database, 2, keys_of_tests);
  none.allow({1, {1s, 10s}, 1h});
  EXPECT_EQ(none.run({record("7", "throw", "a")}), "dead:exhausted") << "never more attempts than retry.max.attempts";
}

TEST(Parking, R5_WhatFollowsADeadLetterWaitsWhereItHolds) {
  const RigDatabase database(tables);
  auto lane = LaneRig::of<Plain>(database, 0, keys_of_tests);
  lane.allow(five);
  lane.hold();
  EXPECT_EQ(lane.run({record("1", "reject", "a"), record("2", "x", "b"), record("3", "y", "a"), record("1", "reject", "a")}), "dead:rejected processed parked parked")
      << "a twin of a dead record as well";
  EXPECT_EQ(lane.run({record("4", "v", "a"), record("5", "reject", "a"), record("6", "w", "b")}), "parked parked processed") << "in a later batch as well";
  EXPECT_EQ(database.value("select count(*) from deja.parked where next_at is not null"), "0") << "none of them is due";
  auto passing = LaneRig::of<Plain>(database, 1, keys_of_tests);
  EXPECT_EQ(passing.run({record("7", "reject", "a"), record("8", "z", "a")}), "dead:rejected processed") << "dlq.order = continue";
}

TEST(Parking, R5_ABatchHandlersRejectionHoldsWhatFollowsInItsSpan) {
  for (const auto* first : {"u", "ask"}) {
    const RigDatabase database(tables);
    auto lane = LaneRig::of<InBatches>(database, 0, keys_of_tests);
    lane.hold();
    EXPECT_EQ(lane.run({record("1", first, "a"), record("2", "reject", "b"), record("3", "reject", "a"), record("4", "v", "a"), record("5", "reject", "a"), record("6", "w", "c")}),
              "processed dead:rejected dead:rejected parked parked processed");
    EXPECT_EQ(database.value("select string_agg(value, ' ' order by id) from effects"), std::string(first) + " w");
    EXPECT_EQ(lane.run({record("7", "x", "a"), record("8", "y", "b"), record("9", "z", "c")}), "parked parked processed");
  }
}

// One that is settled before its span runs says nothing of those before it.
TEST(Parking, R5_ADeadLetterHoldsNothingThatCameBeforeIt) {
  const RigDatabase database(tables);
  auto lane = LaneRig::of<InBatches>(database, 0, keys_of_tests);
  lane.hold();
  EXPECT_EQ(lane.run({record("1", "u", "a"), {"no key", {{"account", "a"}}}, record("2", "v", "a")}), "processed dead:key_missing parked");
  EXPECT_EQ(database.value("select value from effects"), "u");
}

TEST(Parking, R5_WhatIsReadAgainBeforeADeadLetterRunsAlthoughLaterOnesWaitBehindIt) {
  const RigDatabase database(tables);
  auto lane = LaneRig::of<Plain>(database, 0, keys_of_tests);
  lane.hold();
  EXPECT_EQ(lane.run({record("1", "u", "a"), record("2", "reject", "a"), record("3", "v", "a")}), "processed dead:rejected parked");
  database.value("delete from deja.keys_1 returning 1");  // the first is to run again
  lane.reread(3);
  EXPECT_EQ(lane.run({record("1", "u", "a"), record("2", "reject", "a"), record("3", "v", "a")}), "parked duplicate duplicate");
  EXPECT_EQ(database.value("select string_agg(\"offset\" || case when next_at is null then '' else '!' end, ' ' order by \"offset\") from deja.parked"), "0! 2");
}

TEST(Parking, R5_ABatchHandlersFailureHoldsBackItsOrderingKeyAlone) {
  const RigDatabase database(tables);
  auto lane = LaneRig::of<InBatches>(database, 0, keys_of_tests);
  lane.allow(five);
  EXPECT_EQ(lane.run({record("1", "u", "a"), record("2", "throw", "a"), record("3", "v", "b"), record("4", "w", "a"), record("5", "x", "b")}),
            "processed parked processed parked processed");
  EXPECT_EQ(database.value("select string_agg(value, ' ' order by id) from effects"), "u v x");
}

}  // namespace
}  // namespace deja::test
