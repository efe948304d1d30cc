#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <atomic>
#include <future>
#include <set>
#include <thread>

#include "core/clock.h"
#include "support/lane_rig.h"

// K1: programs of the old and of the new recipe side by side, on a real Postgres. Whatever the order, a record has its effect once.

namespace deja::test {
namespace {

constexpr const char* tables = "create table effects (id bigint generated always as identity, value text);"
                               "create table once (v text unique deferrable initially deferred);";

/// The value says what to do. A gate holds the handler inside its transaction.
struct Gate {
  std::promise<void> entered;
  std::shared_future<void> open;
};

void act(const Record& record, Transaction& tx, Gate* gate) {
  tx.defer("insert into effects (value) values ($1)", record.value());
  if (gate != nullptr) {
    gate->entered.set_value();
    gate->open.wait();
  }
  if (record.value() == "throw") throw std::runtime_error("boom");
  if (record.value() == "bad") tx.defer("insert into once values (1/0)");
  if (record.value() == "once") tx.insert("once", {{"v", "same"}});
}

struct Old {
  static constexpr auto name = "settle";
  static constexpr auto idempotency = by_header("X-Old");
  Gate* gate = nullptr;
  void handle(const Record& record, Transaction& tx) { act(record, tx, gate); }
};

struct New {
  static constexpr auto name = "settle-payment";
  static constexpr auto idempotency = by_header("X-New");
  static constexpr auto previous_idempotency = by_header("X-Old");
  Gate* gate = nullptr;
  void handle(const Record& record, Transaction& tx) { act(record, tx, gate); }
};

struct NewInBatches {
  static constexpr auto name = "settle-payment";
  static constexpr auto idempotency = by_header("X-New");
  static constexpr auto previous_idempotency = by_header("X-Old");
  void handle(std::span<const Record> records, BatchTransaction& tx) {
    for (const auto& r : records) tx.insert("effects", {{"value", r.value()}});
    for (const auto& r : records)
      if (r.value() == "throw") throw std::runtime_error("boom");
  }
};

// Everything changes at once: name, strategy, scope, tenancy and secret.
const runtime::KeySettings old_keys{"before", "", "", {}};
const runtime::KeySettings new_keys{"after", "pepper", "X-Tenant", {"before", "none", "none", {"settle-payment=settle"}}};

RigRecord record(const std::string& old_key, const std::string& new_key, const std::string& value) {
  return {value, {{"X-Old", old_key}, {"X-New", new_key}, {"X-Tenant", "t"}}};
}

struct Fleet {
  RigDatabase database{tables};
  LaneRig older = LaneRig::of<Old>(database, 0, old_keys);
  LaneRig newer = LaneRig::of<New>(database, 1, new_keys);

  std::string effects() const { return database.value("select coalesce(string_agg(value, ' ' order by id), '') from effects"); }
  std::string keys() const { return database.value("select count(*) from deja.keys_1"); }
};

TEST(KeysPrevious, K1_WhatTheOldProgramDidIsADuplicateForTheNewOne) {
  Fleet fleet;
  EXPECT_EQ(fleet.older.run({record("1", "a", "x")}), "processed");
  EXPECT_EQ(fleet.newer.run({record("1", "a", "x")}), "duplicate");
  EXPECT_EQ(fleet.effects(), "x");
  EXPECT_EQ(fleet.keys(), "1") << "B3: a key row means that its record has the effect";
}

TEST(KeysPrevious, K1_WhatTheNewProgramDidIsADuplicateForTheOldOne) {
  Fleet fleet;
  EXPECT_EQ(fleet.newer.run({record("1", "a", "x")}), "processed");
  EXPECT_EQ(fleet.older.run({record("1", "a", "x")}), "duplicate");
  EXPECT_EQ(fleet.effects(), "x");
  EXPECT_EQ(fleet.keys(), "2");
}

TEST(KeysPrevious, K1_TwinsByEitherKeyAreFoundWithinABatchToo) {
  Fleet fleet;
  EXPECT_EQ(fleet.newer.run({record("1", "a", "x"), record("2", "a", "x"), record("1", "b", "x"), record("2", "b", "y")}),
            "processed duplicate duplicate processed")
      << "the fourth shares its keys with duplicates only";
  EXPECT_EQ(fleet.effects(), "x y");
  EXPECT_EQ(fleet.keys(), "4");
}

TEST(KeysPrevious, K1_AnotherPayloadUnderEitherKeyIsAConflict) {
  Fleet fleet;
  EXPECT_EQ(fleet.older.run({record("1", "a", "x")}), "processed");
  EXPECT_EQ(fleet.newer.run({record("1", "b", "other")}), "conflict") << "by the previous key, of another program";
  EXPECT_EQ(fleet.newer.run({record("2", "c", "y"), record("3", "c", "other"), record("2", "d", "other")}), "processed conflict conflict");
  EXPECT_EQ(fleet.newer.run({record("1", "c", "y")}), "conflict") << "a duplicate by one key and a conflict by the other is kept";
  EXPECT_EQ(fleet.effects(), "x y");
}

TEST(KeysPrevious, B3_AFailingRecordGivesUpBothKeys) {
  for (const auto* failing : {"throw", "bad"}) {
    Fleet fleet;
    EXPECT_EQ(fleet.newer.run({record("1", "a", "fine"), record("2", "b", failing), record("3", "b", "again"), record("2", "c", "again")}),
              "processed dead:exhausted processed processed")
        << failing;
    EXPECT_EQ(fleet.effects(), "fine again again") << failing;
    EXPECT_EQ(fleet.keys(), "6") << failing;
    EXPECT_EQ(fleet.newer.run({record("4", "d", failing)}), "dead:exhausted") << failing;
    EXPECT_EQ(fleet.older.run({record("4", "d", "again")}), "processed") << failing << ": its previous key is free for the old program";
    EXPECT_EQ(fleet.newer.run({record("4", "d", "again")}), "duplicate") << failing;
  }
}

TEST(KeysPrevious, B5_AFailureThatShowsOnlyAtCommitGivesUpBothKeys) {
  Fleet fleet;
  EXPECT_EQ(fleet.newer.run({record("1", "a", "once"), record("2", "b", "once"), record("2", "b", "fine")}), "processed dead:exhausted processed");
  EXPECT_EQ(fleet.keys(), "4");
}

TEST(KeysPrevious, K1_ABatchHandlerSeesNoTwoTwinsByEitherKey) {
  RigDatabase database{tables};
  auto older = LaneRig::of<Old>(database, 0, old_keys);
  auto newer = LaneRig::of<NewInBatches>(database, 1, new_keys);
  EXPECT_EQ(older.run({record("9", "z", "old")}), "processed");
  EXPECT_EQ(newer.run({record("1", "a", "x"), record("1", "b", "x"), record("2", "a", "x"), record("9", "y", "old"), record("3", "c", "throw"),
                       record("3", "d", "after")}),
            "processed duplicate duplicate duplicate dead:exhausted processed");
  EXPECT_EQ(database.value("select string_agg(value, ' ' order by id) from effects"), "old x after");
}

TEST(KeysPrevious, K1_ARecordWithoutAPreviousKeyIsNewByTheOtherAlone) {
  Fleet fleet;
  const RigRecord without{"x", {{"X-New", "a"}, {"X-Tenant", "t"}}};
  EXPECT_EQ(fleet.older.run({without}), "dead:key_missing");
  EXPECT_EQ(fleet.newer.run({without, without}), "processed duplicate");
}

// Holds one program inside its transaction and lets another meet its keys there.
template <class First, class Second>
void meet(const runtime::KeySettings& first_keys, const runtime::KeySettings& second_keys, bool crash) {
  RigDatabase database{tables};
  std::promise<void> open;
  Gate gate{{}, open.get_future().share()};
  auto first = LaneRig::of<First>(database, 0, first_keys, First{&gate});
  auto second = LaneRig::of<Second>(database, 1, second_keys, Second{});
  auto entered = gate.entered.get_future();
  auto one = std::async(std::launch::async, [&] {
    try {
      return first.run({record("1", "a", "x")});
    } catch (const runtime::DatabaseAway&) {
      return std::string("crashed");
    }
  });
  entered.wait();
  auto two = std::async(std::launch::async, [&] { return second.run({record("1", "a", "x")}); });
  const auto end = core::Steady::now() + std::chrono::seconds(60);
  const auto waits = "select wait_event_type = 'Lock' from pg_stat_activity where pid = " + std::to_string(second.backend_pid());
  while (database.value(waits) != "t" && core::Steady::now() < end) std::this_thread::yield();
  EXPECT_EQ(database.value(waits), "t") << "it waits for what becomes of the first";
  if (crash) database.value("select pg_terminate_backend(" + std::to_string(first.backend_pid()) + ")");
  open.set_value();
  EXPECT_EQ(one.get(), crash ? "crashed" : "processed");
  EXPECT_EQ(two.get(), crash ? "processed" : "duplicate");
  if (crash) {  // the record comes again to the new owner of the first one's lane
    auto again = LaneRig::of<Second>(database, 0, second_keys, Second{});
    EXPECT_EQ(again.run({record("1", "a", "x")}), "duplicate");
  }
  EXPECT_EQ(database.value("select count(*) from effects"), "1");
}

TEST(KeysPrevious, K1_TheNewProgramWaitsForTheOldOneThatHoldsTheKey) { meet<Old, New>(old_keys, new_keys, false); }
TEST(KeysPrevious, K1_TheOldProgramWaitsForTheNewOneThatHoldsTheKey) { meet<New, Old>(new_keys, old_keys, false); }
TEST(KeysPrevious, K1_TheNewProgramRunsWhatTheOldOneDiedOver) { meet<Old, New>(old_keys, new_keys, true); }
TEST(KeysPrevious, K1_TheOldProgramRunsWhatTheNewOneDiedOver) { meet<New, Old>(new_keys, old_keys, true); }

// Fuller than examples: any records, by old and new programs in any order and in batches of any size, some failing at first. A model
// that knows only "fresh if no key is taken" says what must come out.
RC_GTEST_PROP(KeysPrevious, K1_NoOrderOfOldAndNewProgramsRunsARecordTwice, ()) {
  static Fleet fleet;
  static int round = 0;
  const auto prefix = std::to_string(++round) + "/";
  std::set<std::string> taken;
  const int batches = *rc::gen::inRange(1, 5);
  for (int i = 0; i < batches; ++i) {
    const bool is_new = *rc::gen::arbitrary<bool>();
    std::vector<RigRecord> records;
    std::string expected;
    for (const int n : *rc::gen::nonEmpty(rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 32)))) {
      const std::string old_key = prefix + "o" + std::to_string(n & 3), new_key = prefix + "n" + std::to_string(n >> 2 & 3);
      const bool fails = (n & 16) != 0;
      const bool fresh = !taken.contains(old_key) && !(is_new && taken.contains(new_key));
      // a known key with another payload: what fails says something else than what does not
      records.push_back(record(old_key, new_key, fails ? "throw" : "fine"));
      expected += expected.empty() ? "" : " ";
      expected += !fresh ? (fails ? "conflict" : "duplicate") : fails ? "dead:exhausted" : "processed";
      if (!fresh || fails) continue;
      taken.insert(old_key);
      if (is_new) taken.insert(new_key);
    }
    const auto words = (is_new ? fleet.newer : fleet.older).run(records);
    RC_ASSERT(words == expected);
  }
}

TEST(KeysPrevious, C7_ProgramsThatMeetTheSameKeysInReverseDoNotDeadlock) {
  RigDatabase database{tables};
  auto up = LaneRig::of<New>(database, 0, new_keys);
  auto down = LaneRig::of<New>(database, 1, new_keys);
  auto older = LaneRig::of<Old>(database, 2, old_keys);
  const auto feed = [](LaneRig& rig, bool reverse) {
    for (int round = 0; round < 20; ++round) {
      std::vector<RigRecord> records;
      for (int i = 0; i < 40; ++i) {
        const auto n = std::to_string(round * 40 + (reverse ? 39 - i : i));
        records.push_back(record("o" + n, "n" + n, "v" + n));
      }
      rig.run(records);
    }
  };
  auto one = std::async(std::launch::async, [&] { feed(up, false); });
  auto two = std::async(std::launch::async, [&] { feed(down, true); });
  feed(older, false);
  one.get();
  two.get();
  EXPECT_EQ(database.value("select count(*) || ' ' || count(distinct value) from effects"), "800 800");
  EXPECT_EQ(database.value("select deadlocks from pg_stat_database where datname = current_database()"), "0");
}

// --- D12

TEST(Collision, D12_TwoKeysWithOneHashAreAConflictAndNotASilentDuplicate) {
  RigDatabase database{tables};
  auto rig = LaneRig::of<Old>(database, 0, old_keys);
  rig.on_prepared = [](runtime::PreparedRecord& p) { p.key = core::Uuid{}; };  // SHA-256 gives no two of them by itself
  EXPECT_EQ(rig.run({record("one", "", "x"), record("two", "", "y")}), "processed conflict");
  EXPECT_EQ(rig.run({record("three", "", "z")}), "conflict") << "in a batch of its own too";
  EXPECT_EQ(database.value("select string_agg(convert_from(idempotency_key, 'UTF8') || conflict_offset, ' ' order by id) from deja.dead_letters"),
            "two0 three0");
  EXPECT_EQ(database.value("select string_agg(value, ' ') from effects"), "x");
}

}  // namespace
}  // namespace deja::test
