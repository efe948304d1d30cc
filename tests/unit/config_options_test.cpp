#include <set>

#include "config/options.h"
#include "config_support.h"

namespace deja::config::testing {
namespace {

TEST(OptionTable, HasOneRowForEachKey) {
  std::set<std::string_view> seen;
  for (const auto& option : options()) EXPECT_TRUE(seen.insert(option.key).second) << option.key;
}

TEST(OptionTable, CoversThePublishedKeys) {
  const std::set<std::string_view> published = {
      "group.id", "dedup.scope", "kafka.bootstrap.servers", "postgres.url", "postgres.schema", "postgres.connections",
      "postgres.lost.ms", "http.address", "start.from", "batch.max.records", "batch.max.bytes", "lanes.per.partition",
      "handler.timeout.ms", "drain.timeout.ms", "startup.timeout.ms", "retry.max.attempts", "retry.backoff.base.ms",
      "retry.backoff.max.ms", "retry.deadline.ms", "retry.budget.ratio", "crash.max.starts", "breaker.failure.count",
      "breaker.open.ms", "flood.ratio", "flood.window.ms", "park.max.records", "park.key.max.records", "park.policy",
      "dedup.window.ms", "dedup.window.override", "dedup.conflict", "dedup.expired", "key.secret", "tenant.header", "dlq.topic",
      "dlq.order", "dlq.headers.allow", "outbox.fencing", "log.level", "log.format",
      // beside the contract: what stays out of a topic, and how a key recipe changes
      "dlq.headers.redact",
      "keys.previous.handler", "keys.previous.scope", "keys.previous.secret", "keys.previous.tenant.header"};
  std::set<std::string_view> rows;
  for (const auto& option : options()) rows.insert(option.key);
  EXPECT_EQ(rows, published);
}

TEST(OptionTable, DescribesEachKeyAndItsDefaultIsValid) {
  for (const auto& option : options()) {
    EXPECT_FALSE(option.description.empty()) << option.key;
    EXPECT_TRUE(accept_text(option, option.default_text)) << option.key;
    EXPECT_FALSE(expectation(option).empty()) << option.key;
  }
}

TEST(OptionTable, EachNumberHasARangeAndAUnit) {
  for (const auto& option : options()) {
    if (option.type != Type::integer && option.type != Type::duration && option.type != Type::ratio) continue;
    EXPECT_LE(option.min, option.max) << option.key;
    EXPECT_GT(option.max, 0) << option.key;
    EXPECT_FALSE(option.unit.empty()) << option.key;
    EXPECT_EQ(option.type == Type::duration, option.key.ends_with(".ms")) << option.key;
  }
}

TEST(OptionTable, AcceptsTheEndsOfARangeAndNothingBeyond) {
  const auto& records = *find_option("batch.max.records");
  EXPECT_TRUE(accept_text(records, "1"));
  EXPECT_TRUE(accept_text(records, "10000"));
  for (const auto* wrong : {"0", "10001", "-1", "", "1.5", "5x", " 5", "99999999999999999999", "+-5", "0x10"}) {
    EXPECT_FALSE(accept_text(records, wrong)) << wrong;
  }
  const auto& ratio = *find_option("flood.ratio");
  for (const auto* right : {"0", "1", "0.25", "1e-3"}) EXPECT_TRUE(accept_text(ratio, right)) << right;
  for (const auto* wrong : {"nan", "inf", "-0.1", "1.01", ""}) EXPECT_FALSE(accept_text(ratio, wrong)) << wrong;
}

TEST(OptionTable, ChecksTheShapeOfAddressesAndNames) {
  const auto& address = *find_option("http.address");
  for (const auto* right : {"off", "127.0.0.1:0", "localhost:65535", "[::1]:9464", "*:80"}) EXPECT_TRUE(accept_text(address, right)) << right;
  for (const auto* wrong : {"", "9464", ":9464", "::1:9464", "host:", "host:65536", "host:-1", "http://h:1", "OFF"}) {
    EXPECT_FALSE(accept_text(address, wrong)) << wrong;
  }
  const auto& schema = *find_option("postgres.schema");
  for (const auto* right : {"deja", "_x", "a1"}) EXPECT_TRUE(accept_text(schema, right)) << right;
  for (const auto* wrong : {"", "1a", "Deja", "a-b", "a\"b"}) EXPECT_FALSE(accept_text(schema, wrong)) << wrong;
  EXPECT_FALSE(accept_text(schema, std::string(64, 'a')));
  EXPECT_FALSE(accept_text(*find_option("dlq.topic"), std::string_view("a\0b", 3)));
}

TEST(OptionTable, FindsTheKeyThatWasMeant) {
  EXPECT_EQ(nearest_option("batch.max.recods"), "batch.max.records");
  EXPECT_EQ(nearest_option("http.address.port"), "http.address");
  EXPECT_EQ(nearest_option("groupid"), "group.id");
  EXPECT_EQ(nearest_option("completely.different.thing"), "");
  EXPECT_EQ(nearest_option(std::string(100'000, 'x')), "");
}

TEST(OptionTable, SaysTypesAndRangesInWords) {
  EXPECT_EQ(range_text(*find_option("batch.max.records")), "1..10000");
  EXPECT_EQ(range_text(*find_option("log.level")), "debug, info, warn, error");
  EXPECT_EQ(expectation(*find_option("log.level")), "debug, info, warn or error");
  EXPECT_EQ(expectation(*find_option("lanes.per.partition")), "a whole number (lanes), from 1 to 64");
  EXPECT_EQ(expectation(*find_option("outbox.fencing")), "ids");
  EXPECT_EQ(type_name(Type::choice), "enum");
}

}  // namespace
}  // namespace deja::config::testing
