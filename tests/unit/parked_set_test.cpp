#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "core/parked_set.h"
#include "core/random.h"

namespace deja::core {
namespace {

using std::chrono::milliseconds;

const Steady::time_point start{};

Uuid uuid(std::uint8_t n) {
  Uuid u;
  u.bytes[15] = n;
  return u;
}

TEST(ParkedSet, KnowsWhichOrderingKeysHaveToWait) {
  ParkedSet set;
  set.add({1, 10, 7, uuid(1), {}, 100, start, false});
  set.add({2, 11, 7, uuid(2), {}, 100, {}, false});
  set.add({3, 12, {}, uuid(3), uuid(4), 5, start, false});
  EXPECT_EQ(set.size(), 3U);
  EXPECT_EQ(set.count(7), 2U);
  EXPECT_EQ(set.count(8), 0U);
  set.remove(1);
  EXPECT_EQ(set.count(7), 1U) << "a key is free when no record of it is left";
  set.remove(2);
  set.remove(2);
  EXPECT_EQ(set.count(7), 0U);
  set.remove(3);
  EXPECT_TRUE(set.empty());
  EXPECT_FALSE(set.next_due());
}

TEST(ParkedSet, R5_KnowsWhichOrderingKeysADeadLetterHolds) {
  ParkedSet set;
  EXPECT_TRUE(set.nothing_waited_for());
  set.hold(7, 20);
  set.hold(7, 10);
  set.hold(7, 30);
  set.hold(8, -1);
  EXPECT_TRUE(set.empty());
  EXPECT_FALSE(set.nothing_waited_for());
  EXPECT_FALSE(set.held(7, 9)) << "a record before all of them, read again";
  EXPECT_FALSE(set.held(7, 10));
  EXPECT_TRUE(set.held(7, 11));
  EXPECT_TRUE(set.held(8, 0)) << "by one of a log before";
  EXPECT_FALSE(set.held(9, 100));
}

TEST(ParkedSet, B4_FindsTwinsByEitherKeyAndPayload) {
  ParkedSet set;
  set.add({1, 10, 7, uuid(1), uuid(9), 100, start, false});
  set.add({2, 20, 7, uuid(1), {}, 200, {}, false});
  ASSERT_NE(set.twin(uuid(1), 100), nullptr);
  EXPECT_EQ(set.twin(uuid(1), 100)->offset, 10);
  EXPECT_EQ(set.twin(uuid(1), 200)->offset, 20);
  EXPECT_EQ(set.twin(uuid(1), 300), nullptr) << "another payload";
  EXPECT_NE(set.twin(uuid(9), 100), nullptr) << "by the key of the recipe before";
  set.remove(1);
  EXPECT_EQ(set.twin(uuid(1), 100), nullptr);
  EXPECT_EQ(set.twin(uuid(9), 100), nullptr);
}

TEST(ParkedSet, GivesWhatIsDueOldestFirst) {
  ParkedSet set;
  set.add({1, 10, 1, {}, {}, 0, start + milliseconds(30), false});
  set.add({2, 11, 2, {}, {}, 0, start + milliseconds(10), false});
  set.add({3, 12, 2, {}, {}, 0, {}, false});
  EXPECT_EQ(set.next_due(), start + milliseconds(10));
  EXPECT_TRUE(set.due(start + milliseconds(9), 10).empty());
  EXPECT_EQ(set.due(start + milliseconds(30), 10), (std::vector<std::int64_t>{2, 1}));
  EXPECT_EQ(set.due(start + milliseconds(30), 1), (std::vector<std::int64_t>{2}));
  set.remove(2);
  set.set_due(3, start);
  EXPECT_EQ(set.due(start, 10), (std::vector<std::int64_t>{3})) << "the next of its ordering key";
}

TEST(ParkedSet, R1_ASuspectIsAlone) {
  ParkedSet set;
  for (std::int64_t id = 1; id <= 4; ++id) set.add({id, id, id == 4 ? 4 : static_cast<std::uint64_t>(id), {}, {}, 0, start + milliseconds(id), id == 2 || id == 3});
  EXPECT_EQ(set.due(start + milliseconds(10), 10), (std::vector<std::int64_t>{1}));
  set.remove(1);
  EXPECT_EQ(set.due(start + milliseconds(10), 10), (std::vector<std::int64_t>{2}));
  set.failed_again(2);
  set.failed_again(3);
  EXPECT_EQ(set.due(start + milliseconds(10), 10), (std::vector<std::int64_t>{2, 3, 4}));
}

TEST(ParkedSet, R6_WhatNeverRanNeedsNoBudget) {
  ParkedSet set;
  set.add({1, 10, 1, {}, {}, 0, start, false, true});
  set.add({2, 11, 2, {}, {}, 0, start + milliseconds(5), false, false});
  EXPECT_EQ(set.due(start + milliseconds(9), 10, false), (std::vector<std::int64_t>{2}));
  EXPECT_EQ(set.next_due(false), start + milliseconds(5));
  EXPECT_EQ(set.next_due(), start);
  set.failed_again(2);
  EXPECT_FALSE(set.next_due(false));
  set.set_due(2, start + milliseconds(7));
  EXPECT_FALSE(set.next_due(false));
  EXPECT_EQ(set.due(start + milliseconds(9), 10), (std::vector<std::int64_t>{1, 2}));
}

// Against the plainest thing that could be right.
TEST(ParkedSet, AgreesWithALinearSearch) {
  Random random(42);
  const auto below = [&](int n) { return static_cast<int>(random.unit() * n); };
  ParkedSet set;
  std::map<std::int64_t, ParkedRecord> plain;
  for (int step = 0; step < 20'000; ++step) {
    const std::int64_t id = below(40);
    switch (below(3)) {
      case 0: {
        ParkedRecord r{id, id, static_cast<std::uint64_t>(below(5)), uuid(static_cast<std::uint8_t>(below(6))), {}, below(3), {}, false};
        if (below(2) == 0) r.due = start + milliseconds(below(50));
        set.add(r);
        plain[id] = r;
        break;
      }
      case 1:
        set.remove(id);
        plain.erase(id);
        break;
      default:
        set.set_due(id, start + milliseconds(step % 50));
        if (const auto at = plain.find(id); at != plain.end()) at->second.due = start + milliseconds(step % 50);
    }
    ASSERT_EQ(set.size(), plain.size());
    const auto ordering = static_cast<std::uint64_t>(below(5));
    ASSERT_EQ(set.count(ordering), static_cast<std::size_t>(std::count_if(plain.begin(), plain.end(), [&](const auto& p) { return p.second.ordering == ordering; })));
    const auto now = start + milliseconds(below(60));
    ASSERT_EQ(set.due(now, 1000).size(), static_cast<std::size_t>(std::count_if(plain.begin(), plain.end(), [&](const auto& p) { return p.second.due && *p.second.due <= now; })));
    const auto key = uuid(static_cast<std::uint8_t>(below(6)));
    ASSERT_EQ(set.twin(key, 1) != nullptr, std::any_of(plain.begin(), plain.end(), [&](const auto& p) { return p.second.key == key && p.second.digest == 1; }));
  }
}

}  // namespace
}  // namespace deja::core
