#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/json_lines.h"

// Where a record of another framework's dead-letter topic came from, by the headers that the framework wrote:
//   KIP-1191 (and deja)   __dlq.errors.topic, .partition, .offset, .delivery.count, .message
//   Kafka Connect         __connect.errors.topic, .partition, .offset, .exception.class.name, .exception.message
//   Spring Kafka          kafka_dlt-original-topic, -partition (4 bytes), -offset (8 bytes), -timestamp (8 bytes),
//                         kafka_dlt-exception-fqcn, -exception-message
// Sources: KIP-1191; org.apache.kafka.connect.runtime.errors.DeadLetterQueueReporter; org.springframework.kafka.support.KafkaHeaders.
// Nothing here does I/O.

namespace deja::core {

struct DeadLetterOrigin {
  std::string framework;  ///< "KIP-1191", "Kafka Connect", "Spring Kafka"
  std::string topic;
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  std::optional<std::int64_t> timestamp_ms = {};
  std::int64_t attempts = 1;
  std::string error_type, error;  ///< empty: not told
};

/// By the headers of one framework; the last of two headers with one name counts. Nothing: there are none. Throws MalformedLine when they
/// are there in part, or say something that cannot be.
std::optional<DeadLetterOrigin> dead_letter_origin(const RecordLine& record);

/// Takes the headers away that frameworks wrote about the failure: the handler gets the record as it was.
void forget_failure_headers(RecordLine& record);

}  // namespace deja::core
