#include <deja/bytes.h>

#include <optional>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include <deja/event.h>

namespace deja {
namespace {

TEST(BytesTest, TakesALiteralAStringAndAView) {
  EXPECT_EQ(Bytes("literal").view(), "literal");
  EXPECT_EQ(Bytes(std::string("string")).view(), "string");
  EXPECT_EQ(Bytes(std::string_view("view")).view(), "view");
}

TEST(BytesTest, AnyByteIsAllowed) {
  const std::string raw("\0\xff\n", 3);
  EXPECT_EQ(Bytes(raw).view(), raw);
  EXPECT_EQ(Bytes(raw).size(), 3u);
}

TEST(BytesTest, AbsentIsNotEmpty) {
  EXPECT_FALSE(Bytes().has_value());
  EXPECT_FALSE(Bytes(std::nullopt).has_value());
  EXPECT_FALSE(Bytes(std::optional<std::string_view>()).has_value());
  EXPECT_TRUE(Bytes("").has_value());
  EXPECT_EQ(Bytes().view(), "");
  EXPECT_EQ(Bytes().size(), 0u);
}

TEST(BytesTest, AbsentAndEmptyAreDifferent) {
  EXPECT_NE(Bytes(), Bytes(""));
  EXPECT_EQ(Bytes(), Bytes(std::nullopt));
  EXPECT_EQ(Bytes("a"), Bytes(std::string("a")));
  EXPECT_NE(Bytes("a"), Bytes("b"));
}

TEST(BytesTest, OwnsWhatItWasGiven) {
  std::string source = "before";
  const Bytes bytes(std::string_view{source});
  source = "after!";
  EXPECT_EQ(bytes.view(), "before");
}

TEST(BytesTest, TakesAHeaderOfARecordAsItIs) {
  const std::optional<std::string_view> header = "traceparent";
  const Bytes bytes(header);
  EXPECT_EQ(bytes.view(), "traceparent");
}

TEST(EventTest, EverythingButTheTopicMayBeLeftOut) {
  const Event event{.topic = "payments.settled"};
  EXPECT_FALSE(event.key.has_value());
  EXPECT_FALSE(event.value.has_value());
  EXPECT_TRUE(event.headers.empty());
  EXPECT_FALSE(event.partition.has_value());
}

TEST(EventTest, HeadersRepeatAndMayBeAbsent) {
  const Event event{.topic = "t", .key = "k", .headers = {{"a", "1"}, {"a", "2"}, {"none"}}};
  ASSERT_EQ(event.headers.size(), 3u);
  EXPECT_EQ(event.headers[1].value.view(), "2");
  EXPECT_FALSE(event.headers[2].value.has_value());
}

}  // namespace
}  // namespace deja
