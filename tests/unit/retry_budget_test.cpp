#include <gtest/gtest.h>

#include "core/retry_budget.h"

namespace deja::core {
namespace {

TEST(RetryBudget, R6_AShareOfTheFirstDeliveriesAndAFloor) {
  const RetryBudget budget{0.1};
  EXPECT_EQ(budget.tokens({0, 0}), 100) << "ten a second for ten seconds";
  EXPECT_EQ(budget.tokens({1000, 0}), 200);
  EXPECT_EQ(budget.tokens({1000, 150}), 50);
  EXPECT_EQ(budget.tokens({1000, 200}), 0);
  EXPECT_EQ(budget.tokens({1000, 900}), 0) << "an operator, or a window with fewer first deliveries";
  EXPECT_EQ(RetryBudget{0}.tokens({1'000'000, 0}), 100);
  EXPECT_EQ(RetryBudget{1}.tokens({1000, 0}), 1100);
}

TEST(RetryBudget, AmplificationIsWhatRedeliveryAddsToTheLoad) {
  EXPECT_DOUBLE_EQ(amplification({0, 50}), 1);
  EXPECT_DOUBLE_EQ(amplification({100, 0}), 1);
  EXPECT_DOUBLE_EQ(amplification({100, 60}), 1.6);
}

}  // namespace
}  // namespace deja::core
