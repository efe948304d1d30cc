#include "core/flood_guard.h"

#include <gtest/gtest.h>

namespace deja::core {
namespace {

using namespace std::chrono_literals;

constexpr auto least = FloodPolicy::least;

class FloodGuardTest : public ::testing::Test {
 protected:
  static FirstTries tries(std::int64_t records, std::map<std::string, std::int64_t> failed) { return {records, std::move(failed)}; }

  Steady::time_point now = Steady::time_point(1000h);
  FloodGuard guard{{0.5, 60s}};
};

TEST_F(FloodGuardTest, ItTripsWhenMoreThanTheShareFailsWithOneCause) {
  EXPECT_EQ(guard.flood(tries(100, {{"a", 51}}), now), "a");
  EXPECT_EQ(guard.flood(tries(100, {{"a", 50}}), now), std::nullopt) << "half is not most";
  EXPECT_EQ(guard.flood(tries(100, {{"a", 50}, {"b", 50}}), now), std::nullopt) << "two causes";
  EXPECT_EQ(guard.flood(tries(500, {{"a", 10}}), now), std::nullopt);
}

TEST_F(FloodGuardTest, AHandfulSaysNothing) {
  EXPECT_EQ(guard.flood(tries(least - 1, {{"a", least - 1}}), now), std::nullopt);
  EXPECT_EQ(guard.flood(tries(least, {{"a", least}}), now), "a");
}

TEST_F(FloodGuardTest, WhatWasCommittedWithinTheWindowCounts) {
  for (int i = 0; i < least - 1; ++i) {
    EXPECT_EQ(guard.flood(tries(1, {{"a", 1}}), now), std::nullopt) << i;
    guard.delivered(tries(1, {{"a", 1}}), now);
    now += 1s;
  }
  EXPECT_EQ(guard.flood(tries(1, {{"a", 1}}), now), "a");
  EXPECT_EQ(guard.flood(tries(0, {}), now), std::nullopt) << "nothing of it failed";
  now += 61s;
  EXPECT_EQ(guard.flood(tries(1, {{"a", 1}}), now), std::nullopt) << "it is long ago";
}

TEST_F(FloodGuardTest, WhatPassedBeforeSpeaksForTheRecords) {
  guard.delivered(tries(1000, {}), now);
  EXPECT_EQ(guard.flood(tries(500, {{"a", 500}}), now + 1s), std::nullopt);
  EXPECT_EQ(guard.flood(tries(500, {{"a", 500}}), now + 70s), "a");
}

TEST_F(FloodGuardTest, ARatioOfOneIsNever) {
  FloodGuard off{{1, 60s}};
  EXPECT_EQ(off.flood(tries(1000, {{"a", 1000}}), now), std::nullopt);
}

TEST_F(FloodGuardTest, InAnOutageWhatFailsSoIsHeldUntilItIsOver) {
  EXPECT_FALSE(guard.holds("a"));
  guard.trip("a", now);
  EXPECT_EQ(guard.state(now), FloodState::outage);
  EXPECT_TRUE(guard.holds("a"));
  EXPECT_FALSE(guard.holds("b")) << "what fails otherwise is a record's own";
  EXPECT_EQ(guard.flood(tries(100, {{"a", 100}}), now), std::nullopt) << "it is known";
  EXPECT_TRUE(guard.over());
  EXPECT_FALSE(guard.over());
  EXPECT_EQ(guard.state(now), FloodState::watching);
  EXPECT_EQ(guard.flood(tries(least, {{"a", least}}), now), "a") << "and again";
}

TEST_F(FloodGuardTest, AnOutageThatNothingWaitsForIsForgotten) {
  guard.trip("a", now);
  EXPECT_FALSE(guard.forgotten(now + 60s, 10s));
  EXPECT_TRUE(guard.forgotten(now + 81s, 10s));
  guard.held(now + 50s);
  EXPECT_FALSE(guard.forgotten(now + 81s, 10s));
}

TEST_F(FloodGuardTest, PoisonGoesOnUntilNothingFailsSoForAWindow) {
  EXPECT_FALSE(guard.rule_poison("a", now)) << "there is nothing to rule";
  guard.trip("a", now);
  EXPECT_FALSE(guard.rule_poison("b", now));
  EXPECT_TRUE(guard.rule_poison("a", now));
  EXPECT_EQ(guard.state(now), FloodState::poison);
  EXPECT_EQ(guard.fingerprint(now), "a");
  EXPECT_FALSE(guard.holds("a"));
  EXPECT_EQ(guard.flood(tries(100, {{"a", 100}}), now), std::nullopt);
  EXPECT_EQ(guard.flood(tries(100, {{"b", 100}}), now), "b") << "another cause is another flood";
  guard.failed("a", now + 50s);
  EXPECT_EQ(guard.state(now + 100s), FloodState::poison);
  EXPECT_EQ(guard.state(now + 111s), FloodState::watching);
  EXPECT_EQ(guard.flood(tries(100, {{"a", 100}}), now + 111s), "a");
}

TEST_F(FloodGuardTest, ARulingIsTakenBack) {
  EXPECT_FALSE(guard.rule_outage("a", now));
  guard.trip("a", now);
  guard.rule_poison("a", now);
  EXPECT_TRUE(guard.rule_outage("a", now));
  EXPECT_TRUE(guard.holds("a"));
  EXPECT_EQ(guard.state(now), FloodState::outage);
}

TEST_F(FloodGuardTest, CausesThatVaryDoNotGrowWithoutBound) {
  for (int i = 0; i < 100'000; ++i) guard.delivered(tries(1, {{std::to_string(i), 1}}), now);
  EXPECT_EQ(guard.flood(tries(1, {{"5", 1}}), now), std::nullopt);
}

TEST(FloodGuardCauses, WhatTheHandlerSaysOfTheRecordIsNoOutage) {
  EXPECT_TRUE(may_be_outage(Trouble::exception));
  EXPECT_TRUE(may_be_outage(Trouble::undecodable));
  EXPECT_TRUE(may_be_outage(Trouble::too_slow));
  for (const auto t : {Trouble::rejected, Trouble::conflict, Trouble::key_missing, Trouble::oversized, Trouble::killed_process, Trouble::by_operator, Trouble::no_room,
                       Trouble::unavailable})
    EXPECT_FALSE(may_be_outage(t)) << static_cast<int>(t);
}

}  // namespace
}  // namespace deja::core
