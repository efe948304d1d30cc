#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/backoff.h"
#include "core/log.h"
#include "core/random.h"
#include "kafka/producer.h"
#include "runtime/resender.h"

namespace deja::runtime {

class LaneOutbox;

/// Publishes committed events. When Kafka refuses one for good, the producer is purged and rebuilt from the first unacknowledged
/// event of each lane (O1), with growing delay, so that order is kept whatever happens.
class Relay {
 public:
  using Settings = std::vector<std::pair<std::string, std::string>>;
  Relay(Settings settings, std::string client_id, core::BackoffPolicy backoff, core::Log& log);
  ~Relay();

  void start();
  /// Stops publishing; what is not acknowledged stays in the table.
  void stop();

  void add(const std::shared_ptr<LaneOutbox>& outbox);
  /// Calls `send` with the producer in use, which is not replaced meanwhile.
  bool with_producer(const std::function<bool(kafka::Producer&)>& send);
  bool is_current(std::uint64_t generation) const { return generation == generation_; }
  /// Kafka refused an event for good; `aside`: it is set aside, so that the next try is another one.
  void failed(std::uint64_t generation, const std::string& topic, const std::string& error, bool aside);
  /// For what was set aside.
  Resender& resender() { return resender_; }
  /// Why events are not published, in words; empty when they are.
  std::string trouble() const;

 private:
  void run();
  void rebuild();
  bool nothing_refused();
  void pump_all();
  std::vector<std::shared_ptr<LaneOutbox>> outboxes();

  const Settings settings_;
  const std::string client_id_;
  const core::BackoffPolicy backoff_;
  core::Log& log_;
  core::Random random_;
  std::atomic<std::uint64_t> generation_{1};  // before the producer, which is made with it
  std::shared_mutex producer_mutex_;
  std::unique_ptr<kafka::Producer> producer_;
  std::atomic<std::uint64_t> failed_generation_{0};
  std::atomic<bool> queue_was_full_{false}, stopping_{false}, got_on_{false};
  std::uint32_t failures_ = 0;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::string trouble_;
  std::vector<std::weak_ptr<LaneOutbox>> outboxes_;
  std::thread thread_;
  Resender resender_;
};

}  // namespace deja::runtime
