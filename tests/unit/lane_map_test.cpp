#include <gtest/gtest.h>

#include <map>
#include <string>

#include "core/lane_map.h"

namespace deja::core {
namespace {

TEST(LaneMap, L5_IsAPureFunctionOfStoredBytes) {
  // Stored lanes depend on these: another result is another hash version.
  EXPECT_EQ(lane_of("account-1", 0, 8), lane_of("account-1", 99, 8));
  std::map<std::string, std::int32_t> known;
  for (const char* key : {"", "a", "account-1", "account-2"}) known[key] = lane_of(key, 0, 8);
  EXPECT_EQ(known, (std::map<std::string, std::int32_t>{{"", 3}, {"a", 0}, {"account-1", 2}, {"account-2", 0}}));
  EXPECT_EQ(lane_of(std::nullopt, 5, 8), 4);
}

TEST(LaneMap, SpreadsKeysAndOffsetsEvenly) {
  std::map<std::int32_t, int> by_key, by_offset;
  for (int i = 0; i < 8000; ++i) {
    ++by_key[lane_of("account-" + std::to_string(i), 0, 8)];
    ++by_offset[lane_of(std::nullopt, i, 8)];
  }
  ASSERT_EQ(by_key.size(), 8U);
  ASSERT_EQ(by_offset.size(), 8U);
  for (const auto& [lane, count] : by_key) EXPECT_NEAR(count, 1000, 150) << lane;
  for (const auto& [lane, count] : by_offset) EXPECT_NEAR(count, 1000, 150) << lane;
}

TEST(LaneMap, ASingleLaneIsTheSameWhateverOrdersIt) {
  EXPECT_EQ((LaneMap{1, 1, "record key"}), (LaneMap{1, 2, "key function"}));
  EXPECT_FALSE((LaneMap{2, 1, "record key"}) == (LaneMap{2, 1, "key function"}));
  EXPECT_FALSE((LaneMap{2, 1, "record key"}) == (LaneMap{3, 1, "record key"}));
}

}  // namespace
}  // namespace deja::core
