#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/log.h"
#include "core/outbound_event.h"
#include "kafka/refusal.h"

namespace deja::kafka {

/// Told, on the thread that polls the producer, what became of an event.
class DeliveryTarget {
 public:
  virtual ~DeliveryTarget() = default;
  /// Without a refusal Kafka has the event on all in-sync replicas. With one it was refused for good.
  virtual void delivered(std::int64_t seq, std::uint64_t producer_generation, const std::optional<Refusal>& refusal) = 0;
};

/// The idempotent producer: acks=all, no local time-out, so that Kafka keeps the order in which events were sent.
///
/// Threading: send() from any thread; poll() from one. Destroying it drops what was not delivered, without a callback.
class Producer {
 public:
  using Settings = std::vector<std::pair<std::string, std::string>>;
  /// `generation` comes back with each delivery, so that reports of a producer that was replaced are told apart.
  Producer(const Settings& settings, const std::string& client_id, std::uint64_t generation, core::Log& log);
  ~Producer();

  enum class Sent { yes, queue_full, refused };
  /// The bytes are copied. `number`: sent along as core::event_number_header. `refused`: why is in `refusal`, and the same event would be refused again.
  Sent send(const std::shared_ptr<DeliveryTarget>& target, std::int64_t seq, const core::OutboundEvent& event, const std::string& number,
            Refusal& refusal);
  /// Serves deliveries for up to `timeout`; returns how many.
  int poll(std::chrono::milliseconds timeout);
  /// Waits for what was sent. False: some is still under way.
  bool flush(std::chrono::milliseconds timeout);
  std::uint64_t generation() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace deja::kafka
