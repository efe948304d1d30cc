#include "core/link_losses.h"

#include <gtest/gtest.h>

namespace deja::core {
namespace {

TEST(LinkLossesTest, R3_ABatchThatLosesTheLinkTwiceIsRunRecordByRecord) {
  LinkLosses losses;
  losses.lost(10, 5, "up");
  EXPECT_FALSE(losses.alone());
  losses.lost(10, 5, "up");
  EXPECT_TRUE(losses.alone());
  for (int i = 0; i < 4; ++i) losses.committed(1);
  EXPECT_TRUE(losses.alone());
  losses.committed(1);
  EXPECT_FALSE(losses.alone());
}

TEST(LinkLossesTest, R3_TheRecordThatLosesItAloneIsDeadAndItsNeighboursAreNot) {
  LinkLosses losses;
  losses.lost(10, 5, "up");
  losses.lost(10, 5, "up");
  EXPECT_FALSE(losses.dead(10, 3)) << "it was not alone then";
  losses.committed(1);
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(losses.dead(11, 3)) << i;
    losses.lost(11, 1, "up");
  }
  EXPECT_TRUE(losses.dead(11, 3));
  EXPECT_FALSE(losses.dead(12, 3));
  losses.committed(1);
  EXPECT_FALSE(losses.dead(12, 3));
}

TEST(LinkLossesTest, R3_WhatGoesThroughInBetweenBeginsAnew) {
  LinkLosses losses;
  losses.lost(10, 5, "up");
  losses.committed(5);
  losses.lost(15, 5, "up");
  EXPECT_FALSE(losses.alone());
  losses.lost(20, 5, "up");
  EXPECT_FALSE(losses.alone()) << "another batch";
}

TEST(LinkLossesTest, R3_AServerThatWasRestartedIsNobodysDoing) {
  LinkLosses losses;
  for (int i = 0; i < 100; ++i) {
    losses.lost(10, 1, "up since " + std::to_string(i));
    EXPECT_FALSE(losses.alone() || losses.dead(10, 3)) << i;
  }
}

}  // namespace
}  // namespace deja::core
