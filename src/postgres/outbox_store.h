#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <pqxx/pqxx>

#include "core/outbound_event.h"
#include "postgres/connection.h"

// Events, insert-only and numbered without gaps per lane (O1-O3).

namespace deja::postgres {

struct StoredEvent {
  std::int64_t seq = 0;
  core::OutboundEvent event;
};

/// Of rows (seq, event_id, topic, partition, key, value, headers).
std::vector<StoredEvent> read_events(const pqxx::result& rows);

class OutboxStore {
 public:
  static constexpr int segments = 3;
  explicit OutboxStore(std::string schema);

  /// One statement that stores the events as first_seq, first_seq + 1, ... Empty when there are none.
  std::string insert_sql(const Connection& c, int segment, std::int32_t lane, std::int64_t first_seq,
                         const std::vector<core::OutboundEvent>& events) const;
  /// Events of the lane with from <= seq < until, in order, at most `limit`.
  std::vector<StoredEvent> read(Connection& c, std::int32_t lane, std::int64_t from, std::int64_t until, int limit) const;

  /// Opens the next segment when the open one has outgrown `max_bytes` and the next is empty. True when it did.
  bool rotate(Connection& c, std::int64_t max_bytes) const;
  /// Empties a segment that is no longer open and wholly published (O3). True when it did.
  bool truncate(Connection& c, int segment) const;
  /// Age of the lane's oldest unpublished event; 0 when there is none.
  double oldest_age_seconds(Connection& c, std::int32_t lane, std::int64_t published_seq) const;

 private:
  std::string table(int segment) const;
  std::string schema_, read_, age_;
};

}  // namespace deja::postgres
