#include "core/lane_history.h"

#include <gtest/gtest.h>

// What operators' moves of a lane mean for the records that the audit reads.

namespace deja::core {
namespace {

LaneHistory after(std::initializer_list<LaneMove> moves, std::int64_t start_offset = 0) {
  LaneHistory history(start_offset);
  for (const auto& move : moves) history.add(move);
  return history;
}
// The offsets below `end` that are skipped.
std::string skipped(const LaneHistory& history, std::int64_t end = 60) {
  std::string text;
  for (std::int64_t offset = 0; offset <= end; ++offset)
    if (history.skips(offset) != (offset > 0 && history.skips(offset - 1))) text += (text.empty() ? "" : history.skips(offset) ? " " : "-") + std::to_string(offset);
  return text;
}
LaneMove onto_another_log(std::int64_t from, std::int64_t start, std::int64_t to) { return {from, to, LaneMove::NewLog{start, "then", 7}}; }

TEST(LaneHistory, AMoveForwardSkipsWhatLiesBetween) {
  EXPECT_EQ(skipped(after({})), "");
  EXPECT_EQ(skipped(after({{10, 20}})), "10-20");
  EXPECT_EQ(skipped(after({{10, 20}, {30, 40}})), "10-20 30-40");
  EXPECT_EQ(skipped(after({{10, 10}})), "");
}

TEST(LaneHistory, AMoveBackReadsAgainWhatWasSkipped) {
  EXPECT_EQ(skipped(after({{10, 20}, {25, 0}})), "");
  EXPECT_EQ(skipped(after({{10, 20}, {25, 15}})), "10-15");
  EXPECT_EQ(skipped(after({{10, 20}, {25, 20}})), "10-20");
  EXPECT_EQ(skipped(after({{10, 20}, {30, 40}, {45, 35}})), "10-20 30-35");
  EXPECT_EQ(skipped(after({{10, 20}, {25, 5}, {8, 12}})), "8-12") << "and forward again";
}

TEST(LaneHistory, AnotherLogHasNothingOfWhatWasSkippedBefore) {
  EXPECT_EQ(skipped(after({{10, 20}, onto_another_log(30, 0, 0)})), "");
  EXPECT_EQ(skipped(after({{10, 20}, onto_another_log(30, 0, 0), {5, 8}})), "5-8");
}

TEST(LaneHistory, OfAnotherLogTheOperatorSkipsFromItsStart) {
  EXPECT_EQ(skipped(after({onto_another_log(30, 2, 9)})), "2-9") << "wherever the lane was in the log before";
  EXPECT_EQ(skipped(after({onto_another_log(3, 2, 9)})), "2-9");
}

TEST(LaneHistory, ALaneStartsWhereItWasFirstMovedTo) {
  EXPECT_EQ(after({}, 10).start(), 10);
  EXPECT_EQ(after({{20, 5}, {30, 8}}, 10).start(), 5);
  EXPECT_EQ(after({onto_another_log(30, 2, 9)}, 10).start(), 2);
  EXPECT_EQ(after({onto_another_log(3, 20, 30)}, 10).start(), 20);
}

TEST(LaneHistory, KnowsSinceWhenTheLogIsTheOneOfNow) {
  EXPECT_EQ(after({{1, 2}}).log_since(), "-infinity");
  EXPECT_FALSE(after({{1, 2}}).is_of_log_before(1));
  const auto history = after({onto_another_log(3, 2, 9), {9, 3}});
  EXPECT_EQ(history.log_since(), "then");
  EXPECT_TRUE(history.is_of_log_before(6));
  EXPECT_FALSE(history.is_of_log_before(7));
}

}  // namespace
}  // namespace deja::core
