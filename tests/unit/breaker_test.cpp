#include "core/breaker.h"

#include <gtest/gtest.h>

namespace deja::core {
namespace {

using std::chrono::milliseconds;

class BreakerTest : public ::testing::Test {
 protected:
  void open() {
    for (int n = 0; n < 3; ++n) breaker_.failed(a, now_, 0.0);
  }

  const int lanes_[3] = {};
  const Breaker::Caller a = &lanes_[0], b = &lanes_[1], c = &lanes_[2];
  Steady::time_point now_{milliseconds(1'000'000)};
  Breaker breaker_{{3, milliseconds(1000)}};
};

TEST_F(BreakerTest, ClosedItLetsEverybodyCallAsOftenAsTheyLike) {
  breaker_.failed(a, now_, 0.0);
  breaker_.failed(b, now_, 0.0);
  EXPECT_EQ(breaker_.state(), BreakerState::closed);
  EXPECT_TRUE(breaker_.ask(a, now_).allowed);
  EXPECT_FALSE(breaker_.ask(a, now_).probe);
}

TEST_F(BreakerTest, FailuresInARowOpenItWhoeverHasThem) {
  breaker_.failed(a, now_, 0.0);
  breaker_.failed(b, now_, 0.0);
  breaker_.failed(c, now_, 0.0);
  EXPECT_EQ(breaker_.state(), BreakerState::open);
  EXPECT_FALSE(breaker_.ask(a, now_).allowed);
}

TEST_F(BreakerTest, ASuccessBetweenThemStartsTheCountAnew) {
  breaker_.failed(a, now_, 0.0);
  breaker_.failed(a, now_, 0.0);
  breaker_.succeeded(b);
  breaker_.failed(a, now_, 0.0);
  breaker_.failed(a, now_, 0.0);
  EXPECT_EQ(breaker_.state(), BreakerState::closed);
}

TEST_F(BreakerTest, OpenItSaysWhenToAskAgain) {
  open();
  const auto turn = breaker_.ask(b, now_ + milliseconds(999));
  EXPECT_FALSE(turn.allowed);
  EXPECT_EQ(turn.again, now_ + milliseconds(1000));
}

TEST_F(BreakerTest, ChanceMakesItLongerByUpToAQuarter) {
  for (int n = 0; n < 3; ++n) breaker_.failed(a, now_, 0.5);
  EXPECT_EQ(breaker_.ask(a, now_).again, now_ + milliseconds(1125));
}

TEST_F(BreakerTest, WhatTheDependencyAsksForIsKept) {
  breaker_.failed(a, now_, 0.0);
  breaker_.failed(a, now_, 0.0);
  breaker_.failed(a, now_, 0.0, milliseconds(60'000));
  EXPECT_EQ(breaker_.ask(a, now_).again, now_ + milliseconds(60'000));
  breaker_.failed(b, now_, 0.0, milliseconds(70'000));
  EXPECT_EQ(breaker_.ask(a, now_).again, now_ + milliseconds(70'000));
}

TEST_F(BreakerTest, FailuresOfCallsThatWereOnTheirWayDoNotKeepItOpen) {
  open();
  breaker_.failed(b, now_ + milliseconds(900), 0.0);
  EXPECT_TRUE(breaker_.ask(c, now_ + milliseconds(1000)).allowed);
}

TEST_F(BreakerTest, HalfOpenOneAloneProbes) {
  open();
  now_ += milliseconds(1000);
  const auto probe = breaker_.ask(b, now_);
  EXPECT_TRUE(probe.allowed && probe.probe);
  EXPECT_EQ(breaker_.state(), BreakerState::half_open);
  const auto other = breaker_.ask(a, now_);
  EXPECT_FALSE(other.allowed);
  EXPECT_GT(other.again, now_);
  EXPECT_TRUE(breaker_.ask(b, now_).probe) << "a batch that is tried again is still the probe";
}

TEST_F(BreakerTest, AProbeThatGoesThroughClosesIt) {
  open();
  now_ += milliseconds(1000);
  breaker_.ask(b, now_);
  breaker_.succeeded(a);
  EXPECT_EQ(breaker_.state(), BreakerState::half_open) << "no probe of its own";
  breaker_.succeeded(b);
  EXPECT_EQ(breaker_.state(), BreakerState::closed);
  EXPECT_TRUE(breaker_.ask(a, now_).allowed);
}

TEST_F(BreakerTest, AProbeThatFailsOpensItAtOnce) {
  open();
  now_ += milliseconds(1000);
  breaker_.ask(b, now_);
  breaker_.failed(b, now_, 0.0);
  EXPECT_EQ(breaker_.state(), BreakerState::open);
  EXPECT_FALSE(breaker_.ask(b, now_ + milliseconds(999)).allowed);
  EXPECT_TRUE(breaker_.ask(a, now_ + milliseconds(1000)).probe) << "and somebody else may have the next turn";
}

TEST_F(BreakerTest, AProberThatIsGoneMakesRoom) {
  open();
  now_ += milliseconds(1000);
  breaker_.ask(b, now_);
  breaker_.left(a);
  EXPECT_FALSE(breaker_.ask(a, now_).allowed);
  breaker_.left(b);
  EXPECT_TRUE(breaker_.ask(a, now_).probe);
}

TEST_F(BreakerTest, SuccessesWhileItIsOpenSayNothing) {
  open();
  breaker_.succeeded(b);
  EXPECT_EQ(breaker_.state(), BreakerState::open);
}

TEST_F(BreakerTest, AnOperatorMayCloseIt) {
  open();
  breaker_.close();
  EXPECT_TRUE(breaker_.ask(a, now_).allowed);
  breaker_.failed(a, now_, 0.0);
  EXPECT_EQ(breaker_.state(), BreakerState::closed) << "the count starts anew";
}

}  // namespace
}  // namespace deja::core
