#pragma once

#include <string>

namespace deja::kafka {

/// Whose fault it is that Kafka does not take an event.
enum class Fault {
  event,     ///< too large, not valid: the same event would be refused again, others would not
  topic,     ///< no right, not there: all its events would be refused
  producer,  ///< of the client, the cluster or the link, and everything that is not known to be one of the others
};

struct Refusal {
  Fault fault = Fault::producer;
  std::string error;
};

/// `code`: librdkafka's (rd_kafka_resp_err_t), of a produce call or a delivery report.
Refusal refusal_of(int code);

}  // namespace deja::kafka
