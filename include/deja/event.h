#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <deja/bytes.h>

namespace deja {

struct EventHeader {
  std::string name;
  Bytes value = {};
};

/// An event to publish to Kafka when, and only when, the transaction commits.
///
/// deja adds the headers `deja-event-id` (stable over re-execution), `deja-source`, `deja-event-number`, `Idempotency-Key` (the event id, unless
/// set here) and `traceparent` (handed on from the record). Names beginning with `deja-` and `__dlq.` are reserved.
struct Event {
  std::string topic;
  Bytes key = {};
  Bytes value = {};
  std::vector<EventHeader> headers = {};
  /// Left to Kafka's murmur2 partitioner (the Java client's) when absent.
  std::optional<std::int32_t> partition = {};
};

}  // namespace deja
