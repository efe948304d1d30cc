#pragma once

#include <librdkafka/rdkafka.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

// Private to src/kafka: RAII for librdkafka's C types.

namespace deja::kafka {

/// Frees a client whose work is done. False: librdkafka still waits for a thread of its own after five seconds, as it does for ever
/// when it lost count of its references (seen after a topic was made anew; its issues 4131 and 5434). The client then ends with the
/// process; it calls back no more.
bool end_client(rd_kafka_t* client);

struct Destroy {
  void operator()(rd_kafka_t* p) const { end_client(p); }
  void operator()(rd_kafka_conf_t* p) const { rd_kafka_conf_destroy(p); }
  void operator()(rd_kafka_message_t* p) const { rd_kafka_message_destroy(p); }
  void operator()(rd_kafka_topic_partition_list_t* p) const { rd_kafka_topic_partition_list_destroy(p); }
  void operator()(rd_kafka_headers_t* p) const { rd_kafka_headers_destroy(p); }
  void operator()(const rd_kafka_metadata_t* p) const { rd_kafka_metadata_destroy(p); }
  void operator()(rd_kafka_error_t* p) const { rd_kafka_error_destroy(p); }
  void operator()(rd_kafka_topic_t* p) const { rd_kafka_topic_destroy(p); }
  void operator()(rd_kafka_queue_t* p) const { rd_kafka_queue_destroy(p); }
  void operator()(rd_kafka_event_t* p) const { rd_kafka_event_destroy(p); }
};

using ClientPointer = std::unique_ptr<rd_kafka_t, Destroy>;
using ConfPointer = std::unique_ptr<rd_kafka_conf_t, Destroy>;
using MessagePointer = std::unique_ptr<rd_kafka_message_t, Destroy>;
using ListPointer = std::unique_ptr<rd_kafka_topic_partition_list_t, Destroy>;
using HeadersPointer = std::unique_ptr<rd_kafka_headers_t, Destroy>;
using MetadataPointer = std::unique_ptr<const rd_kafka_metadata_t, Destroy>;
using QueuePointer = std::unique_ptr<rd_kafka_queue_t, Destroy>;
using EventPointer = std::unique_ptr<rd_kafka_event_t, Destroy>;
using ErrorPointer = std::unique_ptr<rd_kafka_error_t, Destroy>;

using Settings = std::vector<std::pair<std::string, std::string>>;

/// Throws Stop (78) naming the kafka.* key that librdkafka refuses.
ConfPointer make_conf(const Settings& settings);

/// Takes the configuration over. Throws Stop (78) when librdkafka refuses the combination.
ClientPointer make_client(rd_kafka_type_t type, ConfPointer conf);

}  // namespace deja::kafka
