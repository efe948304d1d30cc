#include <algorithm>

#include "config_support.h"

namespace deja::config::testing {
namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

std::string value_of(const Settings& settings, const std::string& name) {
  const auto found = std::ranges::find(settings, name, &Settings::value_type::first);
  return found == settings.end() ? "(none)" : found->second;
}

TEST(KafkaSettings, GoToBothRolesAndTheRolesOwnWin) {
  const auto config = load_text(R"(
[kafka]
bootstrap.servers = "h:1"
socket.keepalive.enable = true
fetch.min.bytes = 1
consumer.fetch.min.bytes = 2
consumer."session.timeout.ms" = 30000
producer."linger.ms" = 0.5
)");
  const auto common = config.kafka(Role::common);
  EXPECT_EQ(common, (Settings{{"bootstrap.servers", "h:1"}, {"client.id", "payments"}, {"fetch.min.bytes", "1"}, {"socket.keepalive.enable", "true"}}));
  const auto consumer = config.kafka(Role::consumer);
  EXPECT_EQ(value_of(consumer, "fetch.min.bytes"), "2");
  EXPECT_EQ(std::ranges::count(consumer, "fetch.min.bytes", &Settings::value_type::first), 1);
  EXPECT_EQ(value_of(consumer, "session.timeout.ms"), "30000");
  EXPECT_EQ(value_of(consumer, "isolation.level"), "read_committed");
  EXPECT_EQ(value_of(consumer, "linger.ms"), "(none)");
  const auto producer = config.kafka(Role::producer);
  EXPECT_EQ(value_of(producer, "linger.ms"), "0.5");
  EXPECT_EQ(value_of(producer, "fetch.min.bytes"), "1");
  EXPECT_EQ(value_of(producer, "isolation.level"), "(none)");
}

TEST(KafkaSettings, MayHaveOneNameThatGoesOnBelowAnother) {
  const auto config = load_text("[kafka]\n\"enable.sasl.oauthbearer\" = 1\n\"enable.sasl.oauthbearer.unsecure.jwt\" = true\n");
  EXPECT_EQ(value_of(config.kafka(Role::common), "enable.sasl.oauthbearer"), "1");
  EXPECT_EQ(value_of(config.kafka(Role::common), "enable.sasl.oauthbearer.unsecure.jwt"), "true");
}

TEST(KafkaSettings, KeepTheTextOfASetAsItWasTyped) {
  const auto config = load_sets({"kafka.client.id=007", "kafka.broker.version.fallback=1.10", "kafka.client.rack=\"r 1\"",
                                 "kafka.debug=[\"cgrp\", \"topic\"]", "kafka.consumer.isolation.level=read_uncommitted",
                                 "kafka.bootstrap.servers=a:1,b:2", "kafka.ssl.ca.location=a=b"});
  const auto consumer = config.kafka(Role::consumer);
  EXPECT_EQ(value_of(consumer, "client.id"), "007");
  EXPECT_EQ(value_of(consumer, "broker.version.fallback"), "1.10");
  EXPECT_EQ(value_of(consumer, "client.rack"), "r 1");
  EXPECT_EQ(value_of(consumer, "debug"), "cgrp,topic");
  EXPECT_EQ(value_of(consumer, "isolation.level"), "read_uncommitted");
  EXPECT_EQ(value_of(consumer, "bootstrap.servers"), "a:1,b:2");
  EXPECT_EQ(value_of(consumer, "ssl.ca.location"), "a=b");
  EXPECT_EQ(config.place("kafka.client.id"), "--set");
}

TEST(KafkaSettings, ThatDejaOwnsAreRefusedWithTheKeyToUse) {
  for (const std::string name :
       {"enable.auto.commit", "enable.auto.offset.store", "acks", "request.required.acks", "enable.idempotence", "message.timeout.ms",
        "delivery.timeout.ms", "transactional.id", "max.in.flight", "max.in.flight.requests.per.connection", "retries",
        "message.send.max.retries", "enable.partition.eof", "plugin.library.paths", "rebalance_cb", "log_cb", "opaque",
        "default_topic_conf", "statistics.interval.ms", "metadata.broker.list", "auto.offset.reset", "group.id"}) {
    for (const std::string role : {"kafka.", "kafka.consumer.", "kafka.producer."}) {
      const std::string key = role + name;
      expect_refused(refused_text("", {key + "=1"}), 78, {"--set: " + key + " = \"1\" is refused: "});
      expect_refused(refused_text("\"" + key + "\" = 1"), 78, {"deja.toml:1: " + key + " = 1 is refused: "});
    }
  }
  expect_refused(refused_text("kafka.auto.offset.reset = \"latest\""), 78, {"use start.from"});
  expect_refused(refused_text("kafka.group.id = \"g\""), 78, {"use group.id"});
  expect_refused(refused_text("kafka.consumer.bootstrap.servers = \"g\""), 78, {"use kafka.bootstrap.servers"});
}

TEST(KafkaSettings, ThatAreTheUsersChoiceArePassedOn) {
  EXPECT_EQ(refused_text("", {"kafka.group.instance.id=i", "kafka.check.crcs=true", "kafka.partition.assignment.strategy=range",
                              "kafka.consumer.max.poll.interval.ms=1000", "kafka.producer.compression.type=zstd"})
                .exit_code,
            0);
}

TEST(KafkaSettings, ThatAreNoTextAreRefused) {
  expect_refused(refused_text("kafka.client.id = 1979-05-27"), 78, {"kafka.client.id is a date"});
  expect_refused(refused_text("kafka.client.id = \"a\\u0000b\""), 78, {"kafka.client.id", "NUL"});
  expect_refused(refused_text("[[kafka.x]]\na = 1"), 78, {"kafka.x is a list of tables"});
  expect_refused(refused_text("kafka = 1"), 78, {"\"kafka\" = 1 is no known key"});
  expect_refused(refused_text("", {"kafka.=1"}), 78, {"cannot be passed"});
}

TEST(KafkaSettings, HaveNoClientIdWithoutAnApplication) {
  EXPECT_TRUE(load_text("", {}, {}, "").kafka(Role::common).empty());
}

}  // namespace
}  // namespace deja::config::testing
