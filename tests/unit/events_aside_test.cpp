#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>

#include <string>

#include "core/events_aside.h"
#include "kafka/refusal.h"

namespace deja {
namespace {

core::OutboundEvent event(const std::string& topic, std::optional<std::string> key) {
  core::OutboundEvent e;
  e.topic = topic;
  if (key) e.key = Bytes(*key);
  return e;
}

TEST(EventsAside, O2_LaterEventsOfTheTopicAndKeyFollow) {
  core::EventsAside aside;
  EXPECT_FALSE(aside.follows(event("t", "a")));
  aside.add("t", aside.key_id(event("t", "a")));
  EXPECT_TRUE(aside.follows(event("t", "a")));
  EXPECT_FALSE(aside.follows(event("t", "b")));
  EXPECT_FALSE(aside.follows(event("u", "a"))) << "of another topic";
  EXPECT_FALSE(aside.follows(event("t", std::nullopt))) << "without a key it is ordered with nothing";
  aside.release_key("t", *aside.key_id(event("t", "a")));
  EXPECT_FALSE(aside.follows(event("t", "a")));
  EXPECT_TRUE(aside.empty());
}

TEST(EventsAside, O2_OfARefusedTopicAllFollow) {
  core::EventsAside aside;
  aside.refuse("t");
  aside.add("t", aside.key_id(event("t", "a")));
  EXPECT_TRUE(aside.follows(event("t", "b")));
  EXPECT_TRUE(aside.follows(event("t", std::nullopt)));
  EXPECT_FALSE(aside.follows(event("u", "b")));
  aside.release_topic("t");
  EXPECT_FALSE(aside.follows(event("t", "b")));
  EXPECT_TRUE(aside.follows(event("t", "a"))) << "its own keys stay";
}

TEST(EventsAside, AnEventWithoutAKeyLeavesNothingToFollow) {
  core::EventsAside aside;
  aside.add("t", aside.key_id(event("t", std::nullopt)));
  EXPECT_TRUE(aside.empty());
}

TEST(EventsAside, MoreKeysThanAreRememberedAreTheWholeTopic) {
  core::EventsAside aside(2);
  for (const char* key : {"a", "b", "c"}) aside.add("t", aside.key_id(event("t", key)));
  EXPECT_TRUE(aside.follows(event("t", "z")));
  aside.release_topic("t");
  EXPECT_TRUE(aside.follows(event("t", "z"))) << "still too many";
  aside.release_key("t", *aside.key_id(event("t", "a")));
  aside.release_topic("t");
  EXPECT_FALSE(aside.follows(event("t", "z")));
  EXPECT_TRUE(aside.follows(event("t", "b")));
}

TEST(Refusal, O2_OnlyWhatIsKnownToBeTheEventsOrTheTopicsFaultIsTheirs) {
  using kafka::Fault;
  for (const auto& [code, fault] : {std::pair{RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, Fault::event}, {RD_KAFKA_RESP_ERR_INVALID_RECORD, Fault::event}, {RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, Fault::event},
                                    {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, Fault::topic}, {RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, Fault::topic}, {RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, Fault::topic},
                                    {RD_KAFKA_RESP_ERR_POLICY_VIOLATION, Fault::topic}, {RD_KAFKA_RESP_ERR__FATAL, Fault::producer}, {RD_KAFKA_RESP_ERR__PURGE_QUEUE, Fault::producer},
                                    {RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, Fault::producer}, {RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, Fault::producer},
                                    {RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, Fault::producer}, {RD_KAFKA_RESP_ERR__AUTHENTICATION, Fault::producer}, {RD_KAFKA_RESP_ERR_UNKNOWN, Fault::producer}})
    EXPECT_EQ(kafka::refusal_of(code).fault, fault) << rd_kafka_err2name(code);
  EXPECT_EQ(kafka::refusal_of(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE).error, "MSG_SIZE_TOO_LARGE: Broker: Message size too large");
}

}  // namespace
}  // namespace deja
