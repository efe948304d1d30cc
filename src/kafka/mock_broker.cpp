#include "kafka/mock_broker.h"

#include <stdexcept>

#include "kafka/client.h"

#include <librdkafka/rdkafka_mock.h>

namespace deja::kafka {

class MockBroker::Impl {
 public:
  Impl() {
    auto conf = make_conf({{"client.id", "deja dev"}});
    rd_kafka_conf_set_log_cb(conf.get(), [](const rd_kafka_t*, int, const char*, const char*) {});
    client = make_client(RD_KAFKA_PRODUCER, std::move(conf));
    cluster = rd_kafka_mock_cluster_new(client.get(), 1);
    if (cluster == nullptr) throw std::runtime_error("librdkafka could not start its embedded broker");
  }
  ~Impl() { rd_kafka_mock_cluster_destroy(cluster); }  // before the client it runs on
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  ClientPointer client;
  rd_kafka_mock_cluster_t* cluster = nullptr;
};

MockBroker::MockBroker() : impl_(std::make_unique<Impl>()) {}
MockBroker::~MockBroker() = default;

std::string MockBroker::bootstrap_servers() const { return rd_kafka_mock_cluster_bootstraps(impl_->cluster); }

void MockBroker::create(const std::string& topic, std::int32_t partitions) {
  const auto error = rd_kafka_mock_topic_create(impl_->cluster, topic.c_str(), partitions, 1);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) throw std::runtime_error("topic " + topic + ": " + rd_kafka_err2str(error));
}

}  // namespace deja::kafka
