#include "kafka/client.h"

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

}  // namespace deja::kafka
