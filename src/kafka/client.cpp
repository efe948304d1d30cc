#include "kafka/client.h"

#include <chrono>
#include <future>
#include <thread>

#include <deja/errors.h>

namespace deja::kafka {

ConfPointer make_conf(const Settings& settings) {
  ConfPointer conf(rd_kafka_conf_new());
  char error[512];
  for (const auto& [key, value] : settings)
    if (rd_kafka_conf_set(conf.get(), key.c_str(), value.c_str(), error, sizeof error) != RD_KAFKA_CONF_OK)
      throw Stop(exit_code::configuration, "kafka." + key + ": " + error);
  return conf;
}

ClientPointer make_client(rd_kafka_type_t type, ConfPointer conf) {
  char error[512];
  ClientPointer client(rd_kafka_new(type, conf.get(), error, sizeof error));
  if (!client) throw Stop(exit_code::configuration, std::string("kafka.*: ") + error);
  conf.release();  // rd_kafka_new took it
  return client;
}

bool end_client(rd_kafka_t* client) {
  rd_kafka_set_log_level(client, 0);  // the one callback that comes from its own threads
  std::promise<void> ended;
  auto done = ended.get_future();
  std::thread([client, ended = std::move(ended)]() mutable {
    rd_kafka_destroy(client);
    ended.set_value();
  }).detach();
  return done.wait_for(std::chrono::seconds(5)) == std::future_status::ready;
}

}  // namespace deja::kafka
