#include <gtest/gtest.h>

#include "core/drain_turn.h"

namespace deja::core {
namespace {

using std::chrono::milliseconds;

const Steady::time_point now = Steady::time_point{} + milliseconds(1000), later = now + milliseconds(1);

ParkedRecord parked_one(std::int64_t id, Steady::time_point due, bool again) {
  ParkedRecord record;
  record.id = record.offset = id;
  record.due = due;
  record.again = again;
  return record;
}

TEST(DrainTurn, LiveRecordsAndParkedOnesTakeTurns) {
  LaneTurn turn;
  turn.live_waiting = true;
  EXPECT_FALSE(drains_next(turn, now)) << "nothing is parked";
  turn.drain_due = later;
  EXPECT_FALSE(drains_next(turn, now)) << "it is not due";
  turn.drain_due = now;
  EXPECT_TRUE(drains_next(turn, now));
  turn.drained_last = true;
  EXPECT_FALSE(drains_next(turn, now)) << "it is their turn";
  turn.live_held_up = true;
  EXPECT_TRUE(drains_next(turn, now)) << "they could not take it";
  turn.live_held_up = turn.live_waiting = false;
  EXPECT_TRUE(drains_next(turn, now));
}

TEST(DrainTurn, WhatWasBegunOrRefusedGoesOn) {
  LaneTurn turn;
  turn.live_waiting = turn.drained_last = turn.drain_begun = true;
  EXPECT_TRUE(drains_next(turn, now));
  turn.refused_in_drain = false;
  EXPECT_FALSE(drains_next(turn, now)) << "a live record waits for its dependency";
  turn.drain_begun = false;
  turn.refused_in_drain = true;
  EXPECT_TRUE(drains_next(turn, now));
}

TEST(DrainTurn, R6_WhatRanBeforeWaitsForTheBudgetAndNothingElseDoes) {
  ParkedSet parked;
  EXPECT_FALSE(next_drain(parked, later));
  parked.add(parked_one(1, now, true));
  EXPECT_EQ(next_drain(parked, {}), now);
  EXPECT_EQ(next_drain(parked, later), later);
  parked.add(parked_one(2, now, false));
  EXPECT_EQ(next_drain(parked, later), now);
}

TEST(DrainTurn, R6_OnlySoManyOfThoseThatRanBeforeStay) {
  ParkedSet parked;
  for (std::int64_t id = 1; id <= 4; ++id) parked.add(parked_one(id, now, id != 2));
  std::vector<std::int64_t> ids{1, 2, 3, 4};
  keep_within_budget(ids, parked, 2);
  EXPECT_EQ(ids, (std::vector<std::int64_t>{1, 2, 3}));
  keep_within_budget(ids, parked, 0);
  EXPECT_EQ(ids, (std::vector<std::int64_t>{2}));
}

}  // namespace
}  // namespace deja::core
