#include <deja/value.h>

#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

namespace deja {
namespace {

TEST(ValueTest, TextKeepsItsBytes) {
  EXPECT_EQ(Value("literal").text(), "literal");
  EXPECT_EQ(Value(std::string("a string")).text(), "a string");
  EXPECT_EQ(Value(std::string_view("a view").substr(2)).text(), "view");
  EXPECT_EQ(Value(std::string("a\0b", 3)).text(), std::string_view("a\0b", 3));
}

TEST(ValueTest, EmptyTextIsNotNull) {
  EXPECT_FALSE(Value("").is_null());
  EXPECT_EQ(Value("").text(), "");
}

TEST(ValueTest, NullptrNulloptAndEmptyOptionalsAreNull) {
  EXPECT_TRUE(Value(nullptr).is_null());
  EXPECT_TRUE(Value(std::nullopt).is_null());
  EXPECT_TRUE(Value(std::optional<int>()).is_null());
  EXPECT_TRUE(Value(std::optional<std::string>()).is_null());
  EXPECT_TRUE(Value(std::optional<bool>()).is_null());
  EXPECT_EQ(Value(nullptr).text(), "");
}

TEST(ValueTest, AnOptionalThatHoldsSomethingIsThatThing) {
  EXPECT_EQ(Value(std::optional(5)).text(), "5");
  EXPECT_EQ(Value(std::optional(false)).text(), "false");
  EXPECT_EQ(Value(std::optional<std::string_view>("x")).text(), "x");
}

TEST(ValueTest, BoolIsTrueOrFalse) {
  EXPECT_EQ(Value(true).text(), "true");
  EXPECT_EQ(Value(false).text(), "false");
}

TEST(ValueTest, IntegersOfEveryWidthAreDecimal) {
  EXPECT_EQ(Value(0).text(), "0");
  EXPECT_EQ(Value(std::int8_t{-128}).text(), "-128");
  EXPECT_EQ(Value(std::uint8_t{255}).text(), "255");
  EXPECT_EQ(Value(std::int16_t{-32768}).text(), "-32768");
  EXPECT_EQ(Value(std::numeric_limits<std::int64_t>::min()).text(), "-9223372036854775808");
  EXPECT_EQ(Value(std::numeric_limits<std::uint64_t>::max()).text(), "18446744073709551615");
}

TEST(ValueTest, FloatingPointIsTheShortestFormThatReadsBackTheSame) {
  EXPECT_EQ(Value(0.1).text(), "0.1");
  EXPECT_EQ(Value(0.1f).text(), "0.1");
  EXPECT_EQ(Value(1e300).text(), "1e+300");
  EXPECT_EQ(Value(std::numeric_limits<double>::infinity()).text(), "inf");
}

RC_GTEST_PROP(ValueProperty, EveryDoubleReadsBackTheSame, (std::uint64_t bits)) {
  double number = 0;
  static_assert(sizeof number == sizeof bits);
  std::memcpy(&number, &bits, sizeof number);
  RC_PRE(std::isfinite(number));
  const Value value(number);
  double again = 0;
  const auto text = value.text();
  std::from_chars(text.data(), text.data() + text.size(), again);
  RC_ASSERT(std::memcmp(&number, &again, sizeof number) == 0);
}

RC_GTEST_PROP(ValueProperty, EveryIntegerReadsBackTheSame, (std::int64_t number)) {
  RC_ASSERT(std::stoll(std::string(Value(number).text())) == number);
}

TEST(ValueTest, WhatHasNoPlainMeaningIsRefused) {
  struct Payment {};
  enum Plain { one };
  static_assert(!std::is_constructible_v<Value, int*>);
  static_assert(!std::is_constructible_v<Value, const void*>);
  static_assert(!std::is_constructible_v<Value, char>);
  static_assert(!std::is_constructible_v<Value, char32_t>);
  static_assert(!std::is_constructible_v<Value, Plain>);
  static_assert(!std::is_constructible_v<Value, Payment>);
}

TEST(ValueTest, ByteaIsHexWithItsPrefix) {
  EXPECT_EQ(bytea("").text(), "\\x");
  EXPECT_FALSE(bytea("").is_null());
  EXPECT_EQ(bytea("abc").text(), "\\x616263");
  EXPECT_EQ(bytea(std::string_view("\0\x7f\x80\xff", 4)).text(), "\\x007f80ff");
}

RC_GTEST_PROP(ValueProperty, ByteaLosesNothing, (const std::string& bytes)) {
  const Value value = bytea(bytes);
  const auto hex = value.text().substr(2);
  RC_ASSERT(hex.size() == 2 * bytes.size());
  std::string again;
  for (std::size_t i = 0; i < hex.size(); i += 2) again += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  RC_ASSERT(again == bytes);
}

TEST(ColumnTest, TakesAnyValue) {
  const Column columns[] = {{"id", 1}, {"text", "x"}, {"none", nullptr}, {"bytes", bytea("\xff")}};
  EXPECT_EQ(columns[0].value.text(), "1");
  EXPECT_TRUE(columns[2].value.is_null());
  EXPECT_EQ(columns[3].name, "bytes");
}

}  // namespace
}  // namespace deja
