#include "core/event_numbers.h"

#include <gtest/gtest.h>

#include <vector>

#include "core/event_number.h"
#include "core/offset_set.h"

namespace deja::core {
namespace {

using Seen = EventNumbers::Seen;
using Removed = EventNumbers::Removed;

Uuid id(std::uint8_t n) {
  Uuid uuid;
  uuid.bytes[0] = n;
  uuid.bytes[7] = 0x80;
  return uuid;
}
std::vector<std::int64_t> missing(const EventNumbers& numbers, std::int64_t from, std::int64_t until) {
  std::vector<std::int64_t> found;
  numbers.missing(from, until, [&](std::int64_t n) { found.push_back(n); });
  return found;
}

TEST(EventNumbers, TheSameEventMayComeAgainButNotAnotherOneUnderItsNumber) {
  EventNumbers numbers;
  EXPECT_EQ(numbers.see(0, 1, id(2)), Seen::first);
  EXPECT_EQ(numbers.see(0, 1, id(2)), Seen::repeat);
  EXPECT_EQ(numbers.see(0, 1, id(4)), Seen::another_id);
}

TEST(EventNumbers, ALateRepeatIsNotOutOfOrderButALateFirstIs) {
  EventNumbers numbers;
  numbers.see(0, 1, id(2));
  numbers.see(0, 5, id(4));
  EXPECT_EQ(numbers.see(0, 1, id(2)), Seen::repeat);
  EXPECT_EQ(numbers.see(1, 3, id(6)), Seen::first) << "partitions are not ordered among each other";
  EXPECT_EQ(numbers.see(0, 4, id(8)), Seen::out_of_order);
}

TEST(EventNumbers, NamesTheNumbersThatWereNotSeen) {
  EventNumbers numbers;
  for (const auto n : {1, 2, 4, 70000}) numbers.see(0, n, id(2));
  EXPECT_EQ(missing(numbers, 1, 6), (std::vector<std::int64_t>{3, 5}));
  EXPECT_EQ(missing(numbers, 69999, 70002), (std::vector<std::int64_t>{69999, 70001}));
  EXPECT_TRUE(missing(numbers, 3, 3).empty());
}

TEST(EventNumbers, OnlyWhatLiesBelowTheFirstOfAShortenedPartitionMayBeRemoved) {
  EventNumbers numbers;
  numbers.see(0, 10, id(2));
  numbers.see(1, 12, id(4));
  numbers.see(0, 15, id(6));
  EXPECT_EQ(numbers.may_be_removed(11, {}), Removed::no) << "no partition lost its beginning";
  EXPECT_EQ(numbers.may_be_removed(9, {0}), Removed::yes);
  EXPECT_EQ(numbers.may_be_removed(11, {1}), Removed::yes);
  EXPECT_EQ(numbers.may_be_removed(11, {0}), Removed::no) << "partition 0 still has an earlier one";
  EXPECT_EQ(numbers.may_be_removed(13, {0, 1}), Removed::no);
  EXPECT_EQ(numbers.may_be_removed(13, {0, 1, 2}), Removed::unknown) << "partition 2 has none of the lane's any more";
}

TEST(EventNumber, TheHeaderSurvivesGroupsWithSlashes) {
  const auto text = event_number_prefix("team/pay", 7) + std::to_string(123);
  const auto read = parse_event_number(text);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->group, "team/pay");
  EXPECT_EQ(read->lane, 7);
  EXPECT_EQ(read->seq, 123);
}

TEST(EventNumber, TextThatDejaDidNotWriteIsNone) {
  for (const auto* text : {"", "/", "g", "g/1", "g/x/1", "g/1/", "g/1/2x", "1/2", "g/99999999999/1"}) EXPECT_FALSE(parse_event_number(text)) << text;
}

TEST(OffsetSet, HoldsTheOffsetsOfItsRangeAndIgnoresOthers) {
  OffsetSet set(100, 230);
  for (const auto offset : {100, 163, 164, 229, 99, 230}) set.add(offset);
  EXPECT_TRUE(set.has(100) && set.has(163) && set.has(164) && set.has(229));
  EXPECT_FALSE(set.has(99) || set.has(230) || set.has(101));
  set.remove(164);
  EXPECT_FALSE(set.has(164));
  EXPECT_FALSE(OffsetSet(5, 3).has(4));
}

}  // namespace
}  // namespace deja::core
