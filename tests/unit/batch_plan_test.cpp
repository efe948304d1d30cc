#include "core/batch_plan.h"

#include <gtest/gtest.h>

#include "core/backoff.h"

namespace deja::core {
namespace {

TEST(BatchPlan, RunsEverythingAtOnceWhileAllIsWell) {
  const auto shape = BatchPlan().next(500, 10);
  EXPECT_EQ(shape.records, 500U);
  EXPECT_FALSE(shape.savepoints);
  EXPECT_FALSE(shape.forced);
}

TEST(BatchPlan, AfterAFailureUsesSavepointsInSlicesUntilTheFailedBatchIsThrough) {
  BatchPlan plan;
  plan.needs_savepoints(109);  // offsets 10..109 failed somewhere
  EXPECT_EQ(plan.next(100, 10).records, BatchPlan::savepoint_slice);
  EXPECT_TRUE(plan.next(100, 10).savepoints);
  plan.committed(74);
  EXPECT_TRUE(plan.next(36, 74).savepoints);
  plan.committed(110);
  EXPECT_FALSE(plan.next(500, 110).savepoints);
  EXPECT_EQ(plan.next(500, 110).records, 500U);
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

}  // namespace
}  // namespace deja::core
