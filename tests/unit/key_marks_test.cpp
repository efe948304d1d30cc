#include "core/key_marks.h"

#include <gtest/gtest.h>

namespace deja::core {
namespace {

Uuid key(std::uint8_t number) {
  Uuid uuid;
  uuid.bytes[15] = number;
  return uuid;
}
constexpr std::int64_t digest = 77;
const std::uint64_t one = KeyMarks::mark(key(1), digest), other = KeyMarks::mark(key(2), digest), both[] = {one, other}, swapped[] = {other, one};

TEST(KeyMarks, AnOffsetWithoutRowsHasNoMarks) { EXPECT_EQ(KeyMarks(10, 20).rows(12, &one, 1), 0U); }

TEST(KeyMarks, ARowIsKnownByItsKeyAndDigestWhereItIs) {
  KeyMarks marks(10, 20);
  marks.add(12, one);
  EXPECT_EQ(marks.rows(12, &one, 1), 1U);
  EXPECT_EQ(marks.rows(13, &one, 1), 0U);
  EXPECT_EQ(marks.rows(12, &other, 1), 0U);
  const auto of_another_payload = KeyMarks::mark(key(1), digest + 1);
  EXPECT_EQ(marks.rows(12, &of_another_payload, 1), 0U);
}

TEST(KeyMarks, OfTwoKeysEitherOrBothMayBeThere) {
  KeyMarks marks(10, 20);
  marks.add(12, one);
  EXPECT_EQ(marks.rows(12, both, 2), 1U);
  EXPECT_EQ(marks.rows(12, swapped, 2), 1U);
  marks.add(12, other);
  EXPECT_EQ(marks.rows(12, both, 2), 2U);
  EXPECT_EQ(marks.rows(12, &one, 1), 0U) << "a row beside it is to be looked at";
}

TEST(KeyMarks, TheSameRowTwiceIsToBeLookedAt) {
  KeyMarks marks(10, 20);
  marks.add(12, one);
  marks.add(12, one);
  EXPECT_EQ(marks.rows(12, &one, 1), 0U);
}

TEST(KeyMarks, WhatLiesOutsideIsNotThere) {
  KeyMarks marks(10, 20);
  for (const auto offset : {9, 20}) {
    marks.add(offset, one);
    EXPECT_EQ(marks.rows(offset, &one, 1), 0U);
  }
  EXPECT_EQ(KeyMarks().rows(0, &one, 1), 0U);
  EXPECT_EQ(KeyMarks(10, 5).rows(5, &one, 1), 0U);
  EXPECT_EQ(marks.rows(12, nullptr, 0), 0U);
}

}  // namespace
}  // namespace deja::core
