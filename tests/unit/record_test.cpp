#include <deja/record.h>

#include <string_view>
#include <type_traits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace deja {
namespace {

using ::testing::Eq;
using ::testing::Optional;

TEST(RecordTest, ShowsWhereItCameFrom) {
  const Record record({.topic = "payments", .partition = 3, .offset = 42, .timestamp_ms = 1700000000000, .attempt = 2});
  EXPECT_EQ(record.topic(), "payments");
  EXPECT_EQ(record.partition(), 3);
  EXPECT_EQ(record.offset(), 42);
  EXPECT_EQ(record.timestamp_ms(), 1700000000000);
  EXPECT_EQ(record.attempt(), 2);
}

TEST(RecordTest, AnAbsentKeyOrValueIsAnEmptyView) {
  const Record record({.topic = "payments"});
  EXPECT_FALSE(record.has_key());
  EXPECT_FALSE(record.has_value());
  EXPECT_EQ(record.key(), "");
  EXPECT_EQ(record.value(), "");
}

TEST(RecordTest, AnEmptyKeyOrValueIsThere) {
  const Record record({.topic = "payments", .key = "", .value = ""});
  EXPECT_TRUE(record.has_key());
  EXPECT_TRUE(record.has_value());
}

TEST(RecordTest, OfHeadersWithOneNameTheLastCounts) {
  const std::vector<Header> headers = {{"id", "first"}, {"other", "x"}, {"id", "last"}};
  const Record record({.topic = "payments", .headers = headers});
  EXPECT_THAT(record.header("id"), Optional(Eq("last")));
}

TEST(RecordTest, AHeaderThatIsMissingIsNothing) {
  const std::vector<Header> headers = {{"id", "1"}};
  EXPECT_EQ(Record({.topic = "payments", .headers = headers}).header("other"), std::nullopt);
  EXPECT_EQ(Record({.topic = "payments"}).header("id"), std::nullopt);
}

TEST(RecordTest, HeaderNamesAreComparedByteByByte) {
  const std::vector<Header> headers = {{"Idempotency-Key", "1"}};
  const Record record({.topic = "payments", .headers = headers});
  EXPECT_EQ(record.header("idempotency-key"), std::nullopt);
  EXPECT_EQ(record.header("Idempotency-Key "), std::nullopt);
  EXPECT_EQ(record.header(""), std::nullopt);
}

TEST(RecordTest, AHeaderWithANullValueIsThereAndEmpty) {
  const std::vector<Header> headers = {{"id", "first"}, {"id", std::nullopt}};
  EXPECT_THAT(Record({.topic = "payments", .headers = headers}).header("id"), Optional(Eq("")));
}

TEST(RecordTest, HeadersKeepTheirOrder) {
  const std::vector<Header> headers = {{"b", "1"}, {"a", "2"}, {"b", std::nullopt}};
  const Record record({.topic = "payments", .headers = headers});
  ASSERT_EQ(record.headers().size(), 3u);
  EXPECT_EQ(record.headers()[1].name, "a");
  EXPECT_FALSE(record.headers()[2].value.has_value());
}

TEST(RecordTest, IsNeitherCopiedNorMoved) {
  static_assert(!std::is_copy_constructible_v<Record> && !std::is_move_constructible_v<Record>);
  static_assert(!std::is_copy_assignable_v<Record> && !std::is_move_assignable_v<Record>);
}

}  // namespace
}  // namespace deja
