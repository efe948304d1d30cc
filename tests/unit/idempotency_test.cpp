#include <deja/idempotency.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

namespace deja {
namespace {

using ::testing::Eq;
using ::testing::Optional;
using MaybeText = std::optional<std::string>;

std::optional<std::string_view> view_of(const MaybeText& text) {
  return text ? std::optional<std::string_view>(*text) : std::nullopt;
}

MaybeText payload_key(const MaybeText& key, const MaybeText& value) {
  return by_payload().extract(Record({.topic = "payments", .key = view_of(key), .value = view_of(value)}));
}

MaybeText header_key(const std::vector<Header>& headers, std::string_view name = "Idempotency-Key") {
  return by_header(name).extract(Record({.topic = "payments", .headers = headers}));
}

TEST(ByHeaderTest, TheKeyIsTheHeadersValue) {
  EXPECT_THAT(header_key({{"other", "x"}, {"Idempotency-Key", "abc"}}), Optional(Eq("abc")));
  EXPECT_THAT(header_key({{"ce_id", "abc"}}, "ce_id"), Optional(Eq("abc")));
}

TEST(ByHeaderTest, TheLastHeaderOfThatNameCounts) {
  EXPECT_THAT(header_key({{"Idempotency-Key", "first"}, {"Idempotency-Key", "last"}}), Optional(Eq("last")));
}

TEST(ByHeaderTest, AMissingEmptyOrNullValueIsNoKey) {
  EXPECT_EQ(header_key({}), std::nullopt);
  EXPECT_EQ(header_key({{"Idempotency-Key", ""}}), std::nullopt);
  EXPECT_EQ(header_key({{"Idempotency-Key", std::nullopt}}), std::nullopt);
  EXPECT_EQ(header_key({{"Idempotency-Key", "first"}, {"Idempotency-Key", std::nullopt}}), std::nullopt);
}

TEST(ByHeaderTest, AnyBytesAreAKey) {
  const std::string raw("\0\xff ", 3);
  EXPECT_THAT(header_key({{"Idempotency-Key", raw}}), Optional(Eq(raw)));
}

TEST(ByPayloadTest, EqualKeysAndValuesAreOne) {
  EXPECT_EQ(payload_key("k", "v"), payload_key("k", "v"));
  EXPECT_EQ(payload_key(std::nullopt, std::nullopt), payload_key(std::nullopt, std::nullopt));
}

TEST(ByPayloadTest, WhereKeyEndsAndValueBeginsMatters) {
  EXPECT_NE(payload_key("ab", "c"), payload_key("a", "bc"));
  EXPECT_NE(payload_key("ab", ""), payload_key("", "ab"));
}

TEST(ByPayloadTest, NullAndEmptyAreDifferent) {
  EXPECT_NE(payload_key(std::nullopt, "v"), payload_key("", "v"));
  EXPECT_NE(payload_key("k", std::nullopt), payload_key("k", ""));
  EXPECT_NE(payload_key(std::nullopt, ""), payload_key("", std::nullopt));
}

TEST(ByPayloadTest, ARecordWithoutKeyAndValueStillHasAKey) { EXPECT_TRUE(payload_key(std::nullopt, std::nullopt).has_value()); }

TEST(ByPayloadTest, HeadersAndPositionDoNotMatter) {
  const std::vector<Header> headers = {{"traceparent", "00-1"}};
  const Record one({.topic = "payments", .offset = 1, .key = "k", .value = "v"});
  const Record two({.topic = "refunds", .partition = 4, .offset = 9, .key = "k", .value = "v", .headers = headers, .attempt = 3});
  EXPECT_EQ(by_payload().extract(one), by_payload().extract(two));
}

RC_GTEST_PROP(ByPayloadProperty, DifferentRecordsHaveDifferentKeys, ()) {
  // few letters and markers, so that the two often share a beginning
  const auto part = rc::gen::maybe(rc::gen::container<std::string>(rc::gen::element('a', 'b', '\0', '\x01', '\x02')));
  const auto text = [](const rc::Maybe<std::string>& maybe) { return maybe ? MaybeText(*maybe) : std::nullopt; };
  const std::pair one(text(*part), text(*part));
  const std::pair two(text(*part), text(*part));
  RC_ASSERT((payload_key(one.first, one.second) == payload_key(two.first, two.second)) == (one == two));
}

TEST(ByKeyTest, TakesTextsViewsLiteralsAndOptionals) {
  const Record record({.topic = "payments", .key = "account", .value = "payment"});
  EXPECT_THAT(by_key([](const Record& r) { return std::string(r.value()) + "!"; }).extract(record), Optional(Eq("payment!")));
  EXPECT_THAT(by_key([](const Record& r) { return r.key(); }).extract(record), Optional(Eq("account")));
  EXPECT_THAT(by_key([](const Record&) { return "one"; }).extract(record), Optional(Eq("one")));
  EXPECT_THAT(by_key([](const Record& r) { return MaybeText(r.value()); }).extract(record), Optional(Eq("payment")));
  EXPECT_EQ(by_key([](const Record& r) { return r.header("none"); }).extract(record), std::nullopt);
}

TEST(ByKeyTest, WhatTheFunctionThrowsComesOut) {
  const auto strategy = by_key([](const Record&) -> std::string { throw std::runtime_error("no json"); });
  EXPECT_THROW(strategy.extract(Record({.topic = "payments"})), std::runtime_error);
}

TEST(ByKeyTest, AnEmptyTextIsAKeyOfItsOwn) {
  EXPECT_THAT(by_key([](const Record& r) { return r.key(); }).extract(Record({.topic = "payments"})), Optional(Eq("")));
}

TEST(FirstOfTest, TheFirstThatFindsAKeyWins) {
  constexpr auto strategy = first_of(by_header("Idempotency-Key"), by_header("ce_id"), by_payload());
  const std::vector<Header> both = {{"ce_id", "event"}, {"Idempotency-Key", "key"}};
  const std::vector<Header> second = {{"ce_id", "event"}, {"Idempotency-Key", ""}};
  EXPECT_THAT(strategy.extract(Record({.topic = "t", .headers = both})), Optional(Eq("key")));
  EXPECT_THAT(strategy.extract(Record({.topic = "t", .headers = second})), Optional(Eq("event")));
  const Record plain({.topic = "t", .key = "k"});
  EXPECT_EQ(strategy.extract(plain), by_payload().extract(plain));
}

TEST(FirstOfTest, NoneIsNoKey) {
  EXPECT_EQ(first_of(by_header("a"), by_header("b")).extract(Record({.topic = "t"})), std::nullopt);
}

TEST(FirstOfTest, DoesNotAskFurtherOnceItHasAKey) {
  const auto strategy = first_of(by_header("id"), by_key([](const Record&) -> std::string { throw std::runtime_error("asked"); }));
  const std::vector<Header> headers = {{"id", "1"}};
  EXPECT_THAT(strategy.extract(Record({.topic = "t", .headers = headers})), Optional(Eq("1")));
}

TEST(ByOffsetTest, HasNoKey) {
  constexpr auto strategy = by_offset("the gauge may be set twice");
  static_assert(decltype(strategy)::key_free);
  EXPECT_EQ(strategy.extract(Record({.topic = "t", .key = "k"})), std::nullopt);
}

// The words are stored in the database and compared at every start: changing one refuses every running program.
TEST(StrategyInWords, IsLasting) {
  EXPECT_EQ(by_header("Idempotency-Key").describe(), "header Idempotency-Key");
  EXPECT_EQ(by_payload().describe(), "payload");
  EXPECT_EQ(by_key([](const Record& r) { return r.key(); }).describe(), "key function");
  EXPECT_EQ(by_offset("harmless").describe(), "offset: harmless");
  EXPECT_EQ(first_of(by_header("a"), by_payload()).describe(), "first of header a, payload");
  EXPECT_EQ(first_of(first_of(by_header("a")), by_payload()).describe(), "first of first of header a, payload");
}

// Stored keys are computed from these bytes: another layout would make every old record new.
TEST(ByPayloadTest, TheLayoutIsLasting) {
  EXPECT_EQ(payload_key("k", std::nullopt), std::string("\x01\0\0\0\0\0\0\0\x01"
                                                        "k"
                                                        "\0\0\0\0\0\0\0\0\0",
                                                        19));
}

}  // namespace
}  // namespace deja
