#include "core/batch_plan.h"

#include <gtest/gtest.h>

#include "core/backoff.h"
#include "core/group_size.h"

namespace deja::core {
namespace {

TEST(BatchPlan, RunsEverythingAtOnceWhileAllIsWell) {
  const auto shape = BatchPlan().next(500, 10);
  EXPECT_EQ(shape.records, 500U);
  EXPECT_FALSE(shape.savepoints);
  EXPECT_FALSE(shape.forced);
}

TEST(BatchPlan, AfterAFailureUsesSavepointsUntilTheFailedBatchIsThrough) {
  BatchPlan plan;
  plan.needs_savepoints(109);  // offsets 10..109 failed somewhere
  EXPECT_EQ(plan.next(100, 10).records, 100U);
  EXPECT_TRUE(plan.next(100, 10).savepoints);
  plan.committed(74);
  EXPECT_TRUE(plan.next(36, 74).savepoints);
  plan.committed(110);
  EXPECT_FALSE(plan.next(500, 110).savepoints);
  EXPECT_EQ(plan.next(500, 110).records, 500U);
}

TEST(BatchPlan, D3_BeginsWithSavepointsWhileTheyAreNeeded) {
  BatchPlan plan;
  plan.needs_savepoints(99);
  plan.committed(100, {20, true});
  for (std::uint32_t n = 0; n < BatchPlan::careful_tries; ++n) {
    EXPECT_TRUE(plan.next(100, 100).savepoints) << n;
    plan.committed(200, {7, false});
  }
  EXPECT_FALSE(plan.next(100, 200).savepoints) << "nothing failed for a while";
  plan.committed(300);
  EXPECT_FALSE(plan.next(100, 300).savepoints);
}

TEST(BatchPlan, KeepsNoMoreSubtransactionsThanPostgresRemembers) {
  BatchPlan plan;
  plan.needs_savepoints(100'000);
  EXPECT_EQ(plan.next(10'000, 0).records, BatchPlan::most_with_savepoints);
  plan.committed(512, {200, true});
  EXPECT_EQ(plan.next(10'000, 512).records, 256U);
  for (int n = 0; n < 5; ++n) plan.committed(1'000, {100, true});
  EXPECT_EQ(plan.next(10'000, 1'000).records, BatchPlan::subtransaction_cache) << "which cannot overflow";
  plan.committed(1'100, {40, true});
  EXPECT_EQ(plan.next(10'000, 1'100).records, BatchPlan::subtransaction_cache);
  for (int n = 0; n < 5; ++n) plan.committed(1'200, {30, true});
  EXPECT_EQ(plan.next(10'000, 1'200).records, BatchPlan::most_with_savepoints);
}

TEST(GroupSize, ShrinksAroundAFailureAndGrowsAgain) {
  GroupSize size;
  EXPECT_EQ(size.next(), 16U);
  size.failed();
  EXPECT_EQ(size.next(), 4U);
  for (int n = 0; n < 3; ++n) size.failed();
  EXPECT_EQ(size.next(), 1U);
  for (int n = 0; n < 9; ++n) size.kept();
  EXPECT_EQ(size.next(), GroupSize::most);
}

TEST(BatchPlan, FindsTheRecordToBlameForAFailedCommitOneByOne) {
  BatchPlan plan;
  plan.needs_savepoints(12);
  plan.failed_at_commit(3, "violates");
  EXPECT_EQ(plan.next(3, 10).records, 1U);
  EXPECT_FALSE(plan.next(3, 10).forced) << "which record is to blame is not known yet";
  plan.committed(11);
  EXPECT_EQ(plan.next(2, 11).records, 1U) << "the others are still suspects";
  plan.failed_at_commit(1, "violates");
  EXPECT_EQ(plan.next(2, 11).forced.value().error, "violates");
  plan.committed(12);
  EXPECT_FALSE(plan.next(1, 12).forced);
}

TEST(BatchPlan, HalvesABatchThatKeepsDeadlocking) {
  BatchPlan plan;
  plan.repeat(100);
  plan.repeat(100);
  EXPECT_EQ(plan.next(100, 0).records, 100U);
  plan.repeat(100);
  EXPECT_EQ(plan.next(100, 0).records, 50U);
  plan.repeat(1);
  EXPECT_EQ(plan.next(100, 0).records, 1U) << "never nothing";
  plan.committed(1);
  EXPECT_EQ(plan.next(99, 1).records, 99U);
}

TEST(BatchPlan, CommitsTheRecordsBeforeOneThatHasToWait) {
  BatchPlan plan;
  plan.stop_before(3);
  EXPECT_EQ(plan.next(10, 0).records, 3U);
  plan.committed(3);
  EXPECT_EQ(plan.next(7, 3).records, 7U);
}

TEST(Backoff, IsUniformBelowTheDoublingCeilingAndTheCap) {
  const BackoffPolicy policy{std::chrono::milliseconds(100), std::chrono::milliseconds(1000)};
  EXPECT_EQ(full_jitter(policy, 0, 0.0).count(), 0);
  EXPECT_EQ(full_jitter(policy, 0, 0.5).count(), 50);
  EXPECT_EQ(full_jitter(policy, 2, 0.5).count(), 200);
  EXPECT_EQ(full_jitter(policy, 10, 0.5).count(), 500);
  EXPECT_EQ(full_jitter(policy, 4'000'000'000U, 0.999).count(), 999) << "no overflow";
}

TEST(Backoff, AnOutagesEndIsNoticedWithinSecondsHoweverLongRecordsWait) {
  const auto patient = of_outages({std::chrono::minutes(10), std::chrono::hours(24)});
  EXPECT_EQ(full_jitter(patient, 0, 0.999).count(), 4995);
  EXPECT_EQ(full_jitter(patient, 20, 0.999).count(), 4995);
  const auto hasty = of_outages({std::chrono::milliseconds(10), std::chrono::milliseconds(100)});
  EXPECT_EQ(hasty.base.count(), 10);
  EXPECT_EQ(hasty.cap.count(), 100);
}

}  // namespace
}  // namespace deja::core
