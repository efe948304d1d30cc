#include "core/foreign_dead_letter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace deja::core {
namespace {

using Headers = std::vector<std::pair<std::string, std::optional<std::string>>>;
using testing::HasSubstr;

RecordLine with(Headers headers) { return {.headers = std::move(headers)}; }

TEST(ForeignDeadLetter, ReadsKafkaConnectsHeaders) {
  const auto origin = dead_letter_origin(with({{"__connect.errors.topic", "orders"}, {"__connect.errors.partition", "3"}, {"__connect.errors.offset", "4711"}, {"__connect.errors.connector.name", "sink"},
                                               {"__connect.errors.exception.class.name", "java.lang.NumberFormatException"}, {"__connect.errors.exception.message", "no number"}}));
  ASSERT_TRUE(origin);
  EXPECT_EQ(origin->framework, "Kafka Connect");
  EXPECT_EQ(origin->topic, "orders");
  EXPECT_EQ(origin->partition, 3);
  EXPECT_EQ(origin->offset, 4711);
  EXPECT_EQ(origin->error_type, "java.lang.NumberFormatException");
  EXPECT_EQ(origin->error, "no number");
}

TEST(ForeignDeadLetter, ReadsSpringsHeadersWhoseNumbersAreBytes) {
  const auto origin = dead_letter_origin(with({{"kafka_dlt-original-topic", "orders"}, {"kafka_dlt-original-partition", std::string("\0\0\0\x03", 4)},
                                               {"kafka_dlt-original-offset", std::string("\0\0\0\0\0\0\x12\x67", 8)}, {"kafka_dlt-original-timestamp", std::string("\0\0\1\x9A\0\0\0\0", 8)},
                                               {"kafka_dlt-exception-fqcn", "x.Y"}, {"kafka_dlt-exception-message", "m"}}));
  ASSERT_TRUE(origin);
  EXPECT_EQ(origin->framework, "Spring Kafka");
  EXPECT_EQ(origin->partition, 3);
  EXPECT_EQ(origin->offset, 0x1267);
  EXPECT_EQ(origin->timestamp_ms, 0x19A00000000);
  EXPECT_EQ(origin->error_type, "x.Y");
}

TEST(ForeignDeadLetter, ReadsTheHeadersOfKip1191) {
  const auto origin = dead_letter_origin(with({{"__dlq.errors.topic", "orders"}, {"__dlq.errors.partition", "0"}, {"__dlq.errors.offset", "9"}, {"__dlq.errors.delivery.count", "5"}, {"__dlq.errors.message", "m"}}));
  ASSERT_TRUE(origin);
  EXPECT_EQ(origin->framework, "KIP-1191");
  EXPECT_EQ(origin->attempts, 5);
  EXPECT_EQ(origin->error, "m");
}

TEST(ForeignDeadLetter, IsNothingWithoutThem) { EXPECT_FALSE(dead_letter_origin(with({{"Idempotency-Key", "a"}, {"none", std::nullopt}}))); }

TEST(ForeignDeadLetter, NamesWhatIsMissingOrCannotBe) {
  const auto said = [](Headers headers) {
    try {
      dead_letter_origin(with(std::move(headers)));
      return std::string("nothing");
    } catch (const MalformedLine& error) {
      return std::string(error.what());
    }
  };
  EXPECT_THAT(said({{"__connect.errors.topic", "orders"}}), HasSubstr("Kafka Connect, but not __connect.errors.partition"));
  EXPECT_THAT(said({{"__dlq.errors.topic", "o"}, {"__dlq.errors.partition", "x"}, {"__dlq.errors.offset", "1"}}), HasSubstr("__dlq.errors.partition is no number"));
  EXPECT_THAT(said({{"__dlq.errors.topic", "o"}, {"__dlq.errors.partition", "9999999999"}, {"__dlq.errors.offset", "1"}}), HasSubstr("is no partition"));
  EXPECT_THAT(said({{"kafka_dlt-original-topic", "o"}, {"kafka_dlt-original-partition", std::string("\xFF\xFF\xFF\xFF", 4)}, {"kafka_dlt-original-offset", "1"}}), HasSubstr("is no partition"));
  EXPECT_THAT(said({{"__dlq.errors.topic", std::nullopt}, {"__dlq.errors.partition", "1"}, {"__dlq.errors.offset", "1"}}), HasSubstr("not __dlq.errors.topic"));
}

TEST(ForeignDeadLetter, LeavesTheRecordAsItWas) {
  auto record = with({{"a", "1"}, {"__connect.errors.topic", "orders"}, {"deja-dlq-id", "7"}, {"kafka_dlt-exception-stacktrace", "at"}, {"__dlq.errors.message", "m"}, {"a", "2"}});
  forget_failure_headers(record);
  EXPECT_EQ(record.headers, (Headers{{"a", "1"}, {"a", "2"}}));
}

}  // namespace
}  // namespace deja::core
