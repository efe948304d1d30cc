#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "kafka/consumer.h"
#include "kafka/partition.h"
#include "postgres/lane_store.h"

namespace deja::runtime {

/// What a lane asks of Kafka: look-ups that may wait, and a request to the polling thread. Any thread.
class KafkaView {
 public:
  virtual ~KafkaView() = default;
  virtual std::optional<std::int64_t> committed(const kafka::Partition& partition) = 0;
  /// The same with what was committed beside it.
  virtual std::optional<kafka::CommittedOffset> committed_mark(const kafka::Partition& partition) = 0;
  virtual std::optional<kafka::Watermarks> watermarks(const kafka::Partition& partition) = 0;
  /// 0: no such topic.
  virtual std::optional<int> partition_count(const std::string& topic) = 0;
  struct Start {
    std::int32_t lane = 0;
    std::int64_t offset = 0;
    std::optional<postgres::Witness> witness;  // to be looked for in the log first (L6)
  };
  /// The lane is taken over: it wants the records from `start.offset` on. `assignment` tells a late request of an older assignment apart.
  virtual void start_fetching(const kafka::Partition& partition, std::uint64_t assignment, const Start& start) = 0;
  virtual void lane_closed(const kafka::Partition& partition, std::uint64_t assignment) = 0;
};

}  // namespace deja::runtime
