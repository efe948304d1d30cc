#include "core/suspects.h"

#include <gtest/gtest.h>

namespace deja::core {
namespace {

TEST(Suspects, R1_NobodyIsSuspectedAfterAnOwnerThatHandedOver) {
  const Suspects none;
  EXPECT_FALSE(none.alone());
  EXPECT_FALSE(none.dead(0, 1));
  EXPECT_FALSE(none.start_of(0));
}

TEST(Suspects, R1_EachStartIsCommittedOnceUnderAnOwner) {
  Suspects suspects(SuspectMark{-1, 2, 0});
  EXPECT_EQ(suspects.start_of(10), 1);
  suspects.started(10);
  EXPECT_FALSE(suspects.start_of(10)) << "a repeat of the same record by the same owner";
  suspects.committed(1);
  EXPECT_EQ(suspects.start_of(900), 1) << "the lane's next record, wherever it is";
  suspects.committed(1);
  EXPECT_FALSE(suspects.start_of(901)) << "past the suspects";
  suspects.committed(1);
  EXPECT_FALSE(suspects.alone());
}

TEST(Suspects, R1_OnlyTheRecordThatWasStartedCarriesTheStarts) {
  const Suspects suspects(SuspectMark{10, 10, 2});
  EXPECT_EQ(suspects.start_of(10), 3);
  EXPECT_FALSE(suspects.dead(10, 3));
  EXPECT_TRUE(suspects.dead(10, 2));
  EXPECT_EQ(suspects.start_of(11), 1);
  EXPECT_FALSE(suspects.dead(11, 1));
}

TEST(Suspects, R1_AStartThatTheProcessOutlivedIsTakenBackToWhatItWas) {
  Suspects suspects(SuspectMark{10, 10, 2});
  EXPECT_FALSE(suspects.refund(10)) << "nothing was started";
  suspects.started(10);
  ASSERT_TRUE(suspects.refund(10));
  EXPECT_EQ(suspects.refund(10)->starts, 2);
  EXPECT_FALSE(suspects.refund(11)) << "another one is at the front now";
  suspects.refunded();
  EXPECT_EQ(suspects.start_of(10), 3);
}

}  // namespace
}  // namespace deja::core
