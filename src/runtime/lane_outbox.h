#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "core/metrics.h"
#include "core/outbound_event.h"
#include "kafka/producer.h"
#include "postgres/outbox_store.h"

namespace deja::runtime {

class Relay;

/// The committed events of one lane that Kafka does not have yet, in order: the first ones in memory, what does not fit there
/// stays in the table until its turn. One per take-over.
///
/// Threading: any thread. Locks: the relay's producer before this object's own.
class LaneOutbox final : public kafka::DeliveryTarget, public std::enable_shared_from_this<LaneOutbox> {
 public:
  /// Everything in [published_seq + 1, next_event_seq) waits in the table: what the owner before left. `number_prefix`: of the header
  /// that numbers the lane's events, see core/event_number.h.
  LaneOutbox(Relay& relay, core::Metrics& metrics, const std::string& topic, std::string number_prefix, std::int64_t published_seq,
             std::int64_t next_event_seq, std::function<void()> all_acknowledged);

  /// After the commit of a batch.
  void committed(std::int64_t first_seq, std::vector<core::OutboundEvent> events);
  /// After a commit that was settled later, or an operator's: the events are read from the table.
  void committed_in_table(std::int64_t next_event_seq);

  struct Range {
    std::int64_t from, until;
  };
  /// What should be read from the table now.
  std::optional<Range> wanted() const;
  void fill(std::vector<postgres::StoredEvent> events);

  /// Kafka has every event up to this number.
  std::int64_t acknowledged() const;
  std::int64_t unpublished() const;

  /// An event was refused for good and is tried alone.
  bool probing() const;
  /// Sends what can be sent. False: the producer's queue is full, call again after deliveries.
  bool pump();
  /// A new producer: what is not acknowledged is sent again.
  void start_over();
  /// The lane went to another owner, who publishes the rest.
  void abandon();

  void delivered(std::int64_t seq, std::uint64_t producer_generation, const std::string& error) override;

 private:
  struct Entry {
    std::int64_t seq;
    core::OutboundEvent event;
    core::Steady::time_point handed;
    bool acknowledged = false;
  };
  void append(std::int64_t seq, core::OutboundEvent event);
  void refused(std::uint64_t generation, const Entry& entry, const std::string& error);

  Relay& relay_;
  const std::string number_prefix_;
  core::Counter& published_;
  core::Counter& errors_;
  core::Histogram& duration_;
  const std::function<void()> all_acknowledged_;
  mutable std::mutex mutex_;
  std::deque<Entry> entries_;  // consecutive numbers
  std::size_t unsent_ = 0;     // index of the first entry that was not sent
  std::size_t bytes_ = 0;
  std::int64_t acknowledged_;
  Range table_;  // after the entries
  bool abandoned_ = false;
  bool probing_ = false;  // an event was refused: it goes alone until Kafka takes it, so that nothing more overtakes it
};

}  // namespace deja::runtime
