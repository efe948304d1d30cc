#include "config/kafka_keys.h"

#include <algorithm>

namespace deja::config {
namespace {

struct Refusal {
  std::string_view name;
  std::string_view reason;
};

constexpr std::string_view progress = "deja stores offsets itself, after the commit in Postgres; leave it out";
constexpr std::string_view durable = "deja's producer is idempotent with acks=all; leave it out";
constexpr std::string_view delivery = "deja publishes an event until Kafka has it; leave it out";
constexpr std::string_view fencing = "deja sets it where outbox.fencing asks for it; use outbox.fencing";
constexpr std::string_view pointer = "it is a pointer that only code can set; leave it out";
constexpr std::string_view group = "use group.id (without kafka.)";
constexpr std::string_view start = "use start.from";
constexpr std::string_view brokers = "use kafka.bootstrap.servers";

// Aliases are listed with their names: librdkafka would take either.
constexpr Refusal refusals[] = {
    {"enable.auto.commit", progress},
    {"auto.commit.enable", progress},
    {"auto.commit.interval.ms", progress},
    {"enable.auto.offset.store", progress},
    {"offset.store.method", progress},
    {"offset.store.path", progress},
    {"offset.store.sync.interval.ms", progress},
    {"auto.offset.reset", start},
    {"enable.partition.eof", "deja learns the end of a log by itself; leave it out"},
    {"group.id", group},
    {"acks", durable},
    {"request.required.acks", durable},
    {"enable.idempotence", durable},
    {"enable.gapless.guarantee", durable},
    {"max.in.flight", durable},
    {"max.in.flight.requests.per.connection", durable},
    {"retries", delivery},
    {"message.send.max.retries", delivery},
    {"message.timeout.ms", delivery},
    {"delivery.timeout.ms", delivery},
    {"transactional.id", fencing},
    {"transaction.timeout.ms", fencing},
    {"metadata.broker.list", brokers},
    {"statistics.interval.ms", "deja measures for itself, see /metrics; leave it out"},
    {"enabled_events", "deja chooses the events it listens to; leave it out"},
    {"log.queue", "deja chooses where log lines go, see log.format; leave it out"},
    {"plugin.library.paths", "it would load code that a settings file names; leave it out"},
    {"opaque", pointer},
    {"interceptors", pointer},
    {"default_topic_conf", pointer},
    {"ssl_engine_callback_data", pointer},
};

}  // namespace

std::string_view kafka_refusal(std::string_view name, bool for_one_role) {
  if (name.ends_with("_cb")) return pointer;
  if (for_one_role && name == "bootstrap.servers") {
    return "consumer and producer share one cluster; use kafka.bootstrap.servers";
  }
  const auto* found = std::ranges::find(refusals, name, &Refusal::name);
  return found == std::end(refusals) ? std::string_view{} : found->reason;
}

}  // namespace deja::config
