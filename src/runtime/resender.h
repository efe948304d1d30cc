#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/log.h"
#include "core/uuid.h"
#include "kafka/producer.h"
#include "postgres/outbox_store.h"

namespace deja::runtime {

/// Events of one topic of a lane that were set aside, on their way to Kafka once more.
class Resending final : public kafka::DeliveryTarget {
 public:
  Resending(std::string number_prefix, std::string topic, std::vector<postgres::StoredEvent> events, std::function<void()> done);

  /// Nothing of it is under way any more: what follows says what became of it.
  bool done() const { return done_; }
  const std::string& topic() const { return topic_; }
  std::size_t size() const { return events_.size(); }
  /// Of all of them, each once; see core/events_aside.h.
  std::vector<core::Uuid> keys() const;
  std::vector<std::int64_t> acknowledged() const;
  /// The first one refused, and why; of more than one event it may be another's fault. Nothing, although not all are acknowledged: Kafka
  /// did not answer.
  std::optional<std::pair<std::int64_t, kafka::Refusal>> refused() const;
  void delivered(std::int64_t seq, std::uint64_t producer_generation, const std::optional<kafka::Refusal>& refusal) override;

 private:
  friend class Resender;
  bool over(std::size_t sent, bool all_sent) const;
  void refused_here(std::int64_t seq, const kafka::Refusal& refusal);
  void first_refused(std::int64_t seq, const kafka::Refusal& refusal);

  const std::string number_prefix_, topic_;
  const std::vector<postgres::StoredEvent> events_;
  const std::function<void()> tell_;
  std::atomic<bool> done_{false}, cancelled_{false};
  mutable std::mutex mutex_;
  std::vector<std::int64_t> acknowledged_;
  std::optional<std::pair<std::int64_t, kafka::Refusal>> refused_;
  bool failed_ = false;
};

/// Tries events that were set aside again, one lane's at a time: alone is alone. It has a producer of its own, for a refusal ends the
/// producer that was refused, and the lanes that work are to feel nothing of it.
///
/// Threading: any thread. Its own thread and producer are there while there is something to try, and some seconds more.
class Resender {
 public:
  using Settings = std::vector<std::pair<std::string, std::string>>;
  Resender(Settings settings, std::string client_id, core::Log& log);
  ~Resender();

  void submit(const std::shared_ptr<Resending>& events);
  /// Nobody waits for more of it: what did not begin is done, what is under way is in a moment, with what is acknowledged by then.
  void withdraw(const std::shared_ptr<Resending>& events);
  /// What is under way ends with what is acknowledged until now; nothing is taken any more.
  void stop();

 private:
  void run();
  void not_tried(Resending& events, const std::exception& error);
  void send(const std::shared_ptr<Resending>& events);

  Settings settings_;
  const std::string client_id_;
  core::Log& log_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Resending>> queue_;
  bool running_ = false;
  std::atomic<bool> stopping_{false};
  std::uint64_t generation_ = 0;
  std::unique_ptr<kafka::Producer> producer_;  // its thread's alone
  std::thread thread_;
};

}  // namespace deja::runtime
