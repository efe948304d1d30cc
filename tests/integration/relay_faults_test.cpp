#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "core/metrics.h"
#include "ops/prometheus_metrics.h"
#include "runtime/lane_outbox.h"
#include "runtime/relay.h"
#include "runtime/resender.h"

// The relay against a broker that answers with errors: librdkafka's own mock, which plays them on demand.

namespace {

using namespace std::chrono_literals;
using deja::core::OutboundEvent;
using deja::runtime::LaneOutbox;
using deja::runtime::Relay;

constexpr std::int16_t produce_request = 0, init_producer_id_request = 22;

struct Destroy {
  void operator()(rd_kafka_t* client) const { rd_kafka_destroy(client); }
  void operator()(rd_kafka_mock_cluster_t* cluster) const { rd_kafka_mock_cluster_destroy(cluster); }
  void operator()(rd_kafka_topic_partition_list_t* list) const { rd_kafka_topic_partition_list_destroy(list); }
  void operator()(rd_kafka_message_t* message) const { rd_kafka_message_destroy(message); }
};
using Client = std::unique_ptr<rd_kafka_t, Destroy>;

Client make_client(rd_kafka_type_t type, const std::map<std::string, std::string>& settings) {
  auto* conf = rd_kafka_conf_new();
  char error[512];
  for (const auto& [key, value] : settings)
    if (rd_kafka_conf_set(conf, key.c_str(), value.c_str(), error, sizeof error) != RD_KAFKA_CONF_OK) throw std::runtime_error(error);
  rd_kafka_conf_set_log_cb(conf, [](const rd_kafka_t*, int, const char*, const char*) {});
  Client client(rd_kafka_new(type, conf, error, sizeof error));
  if (!client) throw std::runtime_error(error);
  return client;
}

class Quiet final : public deja::core::Log {
 public:
  bool enabled(deja::core::Level level) const override { return level >= deja::core::Level::warn; }
  void write(deja::core::Level, std::string_view message, std::initializer_list<deja::core::Field>) override {
    const std::lock_guard lock(mutex_);
    ++lines_[std::string(message)];
  }
  int lines(const std::string& message) const {
    const std::lock_guard lock(mutex_);
    const auto found = lines_.find(message);
    return found == lines_.end() ? 0 : found->second;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, int> lines_;
};

class RelayFaults : public ::testing::TestWithParam<std::pair<std::int16_t, rd_kafka_resp_err_t>> {
 protected:
  static constexpr int first_events = 200, events = 1000;
  // All that may be on its way: behind one that it refuses, a broker refuses the others, for their numbers do not follow. The mock
  // does not look at numbers.
  static constexpr std::size_t in_flight = 5;

  RelayFaults() : host_(make_client(RD_KAFKA_PRODUCER, {})), cluster_(rd_kafka_mock_cluster_new(host_.get(), 1)) {
    rd_kafka_mock_topic_create(cluster_.get(), "out", 1, 1);
  }

  std::string brokers() const { return rd_kafka_mock_cluster_bootstraps(cluster_.get()); }

  void play(std::int16_t request, rd_kafka_resp_err_t error, std::size_t times) {
    const std::vector<rd_kafka_resp_err_t> errors(times, error);
    rd_kafka_mock_push_request_errors_array(cluster_.get(), request, times, errors.data());
  }

  static std::vector<OutboundEvent> numbered(int from, int until) {
    std::vector<OutboundEvent> made;
    for (int n = from; n < until; ++n) {
      OutboundEvent event;
      event.topic = "out";
      event.key = "k";
      event.value = std::to_string(n);
      made.push_back(std::move(event));
    }
    return made;
  }

  /// Everything in the topic, in the order of the log.
  std::vector<int> published() const {
    auto consumer = make_client(RD_KAFKA_CONSUMER, {{"bootstrap.servers", brokers()}, {"group.id", "reader"}, {"enable.partition.eof", "true"}});
    std::unique_ptr<rd_kafka_topic_partition_list_t, Destroy> list(rd_kafka_topic_partition_list_new(1));
    rd_kafka_topic_partition_list_add(list.get(), "out", 0)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_assign(consumer.get(), list.get());
    std::vector<int> found;
    for (;;) {
      const std::unique_ptr<rd_kafka_message_t, Destroy> message(rd_kafka_consumer_poll(consumer.get(), 30'000));
      if (!message) throw std::runtime_error("the mock broker does not answer");
      if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) break;
      if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) found.push_back(std::stoi(std::string(static_cast<const char*>(message->payload), message->len)));
    }
    rd_kafka_consumer_close(consumer.get());
    return found;
  }

  static bool await(const std::function<bool()>& condition) {
    const auto give_up = std::chrono::steady_clock::now() + 60s;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > give_up) return false;
      std::this_thread::sleep_for(5ms);
    }
    return true;
  }

  Client host_;
  std::unique_ptr<rd_kafka_mock_cluster_t, Destroy> cluster_;
};

TEST_P(RelayFaults, E4_AfterAFatalErrorTheProducerIsRebuiltAndWhatIsNotAcknowledgedIsSentAgainInOrder) {
  const auto [request, error] = GetParam();
  Quiet log;
  deja::ops::PrometheusMetrics metrics("group");
  if (request == init_producer_id_request) play(request, error, 2);
  Relay relay({{"bootstrap.servers", brokers()}, {"linger.ms", "1"}, {"batch.num.messages", "20"}}, "relay-test", {5ms, 50ms}, log);
  auto outbox = std::make_shared<LaneOutbox>(relay, metrics, "in", "g/1/", 0, 1, deja::postgres::StuckView{}, [] {}, [] {});
  relay.add(outbox);
  relay.start();

  outbox->committed(1, numbered(0, first_events));
  outbox->pump();
  if (request == produce_request) {
    ASSERT_TRUE(await([&] { return outbox->acknowledged() == first_events; })) << relay.trouble();
    play(request, error, in_flight);
  }
  outbox->committed(first_events + 1, numbered(first_events, events));
  outbox->pump();

  ASSERT_TRUE(await([&] { return outbox->acknowledged() == events; })) << outbox->acknowledged() << ": " << relay.trouble();
  EXPECT_TRUE(await([&] { return relay.trouble().empty(); })) << relay.trouble();
  EXPECT_GE(log.lines("Kafka refuses an event; it and what follows it in its lane are kept in the outbox and tried again"), 1)
      << "the fault did not happen";
  relay.stop();

  // Each for the first time behind all before it; repeats are told apart by their id.
  int next = 0;
  for (const int n : published()) {
    ASSERT_LE(n, next) << "event " << n << " came before event " << next;
    next = std::max(next, n + 1);
  }
  EXPECT_EQ(next, events);
}

class RefusedEvents : public RelayFaults {
 protected:
  static OutboundEvent keyed(const std::string& key, int n) {
    OutboundEvent event;
    event.topic = "out";
    event.key = key;
    event.value = std::to_string(n);
    return event;
  }
  static std::vector<std::int64_t> numbers(const std::vector<deja::postgres::EventAside>& events) {
    std::vector<std::int64_t> found;
    for (const auto& e : events) found.push_back(e.seq);
    return found;
  }
};

// GetParam().first: how many of the three events the refusal is about.
TEST_P(RefusedEvents, O2_RefusedAloneItIsToBeSetAsideWithThoseThatFollow) {
  const auto [refused, error] = GetParam();
  Quiet log;
  deja::ops::PrometheusMetrics metrics("group");
  play(produce_request, error, 2);  // all three in one request, then the first one alone
  Relay relay({{"bootstrap.servers", brokers()}, {"linger.ms", "500"}}, "relay-test", {5ms, 50ms}, log);
  auto outbox = std::make_shared<LaneOutbox>(relay, metrics, "in", "g/1/", 0, 1, deja::postgres::StuckView{}, [] {}, [] {});
  relay.add(outbox);
  relay.start();
  outbox->committed(1, {keyed("a", 1), keyed("a", 2), keyed("b", 3)});
  outbox->pump();

  ASSERT_TRUE(await([&] { return static_cast<std::int16_t>(outbox->to_set_aside(10, {}).size()) == refused; })) << outbox->to_set_aside(10, {}).size();
  const auto refusals = outbox->to_set_aside(10, {});
  EXPECT_FALSE(refusals.front().error.empty());
  EXPECT_TRUE(refusals[1].error.empty()) << "it was not asked";
  EXPECT_EQ(outbox->acknowledged(), 0) << "nothing is passed before it is in the table";
  EXPECT_EQ(numbers(outbox->to_set_aside(1, {})), std::vector<std::int64_t>{1});
  outbox->set_aside(refusals);
  ASSERT_TRUE(await([&] { return outbox->acknowledged() == 3; })) << outbox->acknowledged();
  EXPECT_TRUE(await([&] { return relay.trouble().empty(); })) << relay.trouble();

  outbox->committed(4, {keyed("a", 4), keyed("b", 5)});
  outbox->pump();
  EXPECT_EQ(numbers(outbox->to_set_aside(10, {})), (refused == 3 ? std::vector<std::int64_t>{4, 5} : std::vector<std::int64_t>{4}));
  outbox->released("out", {*refusals.front().key_id});
  outbox->released_topic("out", {});
  outbox->pump();
  EXPECT_TRUE(outbox->to_set_aside(10, {}).empty()) << "what is not in the table yet goes the usual way";
  ASSERT_TRUE(await([&] { return outbox->acknowledged() == 5; })) << outbox->acknowledged();
  relay.stop();
  std::vector<int> found;
  for (const int n : published())
    if (std::find(found.begin(), found.end(), n) == found.end()) found.push_back(n);
  EXPECT_EQ(found, (refused == 3 ? std::vector<int>{4, 5} : std::vector<int>{3, 5, 4})) << "4 waited, and others did not wait for it";
}

class TriesAgain : public RelayFaults {};

TEST_F(TriesAgain, O2_AMissingTopicIsAnAnswerAndNoSilence) {
  Quiet log;
  rd_kafka_mock_topic_set_error(cluster_.get(), "gone", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
  auto made = numbered(0, 1);
  made.front().topic = "gone";
  std::atomic<bool> told{false};
  auto tried = std::make_shared<deja::runtime::Resending>("g/1/", "gone", std::vector<deja::postgres::StoredEvent>{{1, made.front()}}, [&] { told = true; });
  deja::runtime::Resender resender({{"bootstrap.servers", brokers()}}, "relay-test", log);
  resender.submit(tried);
  ASSERT_TRUE(await([&] { return told.load(); }));
  ASSERT_TRUE(tried->refused());
  EXPECT_EQ(tried->refused()->second.fault, deja::kafka::Fault::topic) << tried->refused()->second.error;
}

TEST_F(TriesAgain, O2_WhatIsWithdrawnIsDoneAtOnceAndHoldsUpNoOther) {
  Quiet log;
  rd_kafka_mock_broker_push_request_error_rtts(cluster_.get(), 1, produce_request, 1, RD_KAFKA_RESP_ERR_NO_ERROR, 5'000);
  auto made = numbered(0, 2);
  std::atomic<int> told{0};
  const auto try_of = [&](std::int64_t seq, const OutboundEvent& event) {
    return std::make_shared<deja::runtime::Resending>("g/1/", "out", std::vector<deja::postgres::StoredEvent>{{seq, event}}, [&] { ++told; });
  };
  const auto slow = try_of(1, made[0]), queued = try_of(2, made[1]);
  deja::runtime::Resender resender({{"bootstrap.servers", brokers()}, {"linger.ms", "0"}}, "relay-test", log);
  resender.submit(slow);
  resender.submit(queued);
  resender.withdraw(queued);
  EXPECT_TRUE(queued->done() || told > 0) << "it did not begin";
  resender.withdraw(slow);
  ASSERT_TRUE(await([&] { return slow->done() && queued->done(); }));
  EXPECT_FALSE(slow->refused());
}

INSTANTIATE_TEST_SUITE_P(Errors, RefusedEvents,
                         ::testing::Values(std::pair(std::int16_t{2}, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE), std::pair(std::int16_t{3}, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)),
                         [](const auto& each) { return each.param.first == 2 ? "OfTheEvent" : "OfTheTopic"; });

INSTANTIATE_TEST_SUITE_P(Errors, RelayFaults,
                         ::testing::Values(std::pair(produce_request, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER),
                                           std::pair(produce_request, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH),
                                           std::pair(produce_request, RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS),
                                           std::pair(init_producer_id_request, RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED)),
                         [](const auto& each) {
                           std::string name = rd_kafka_err2name(each.param.second);
                           name.erase(std::remove(name.begin(), name.end(), '_'), name.end());
                           return name;
                         });

}  // namespace
