#include "runtime/relay.h"

#include <algorithm>
#include <random>

#include "failpoints/failpoint.h"
#include "runtime/lane_outbox.h"

namespace deja::runtime {

Relay::Relay(Settings settings, std::string client_id, core::BackoffPolicy backoff, core::Log& log)
    : settings_(std::move(settings)), client_id_(std::move(client_id)), backoff_(backoff), log_(log),
      random_(std::random_device{}()), producer_(std::make_unique<kafka::Producer>(settings_, client_id_, generation_, log_)), resender_(settings_, client_id_, log_) {}

Relay::~Relay() { stop(); }

void Relay::start() {
  thread_ = std::thread([this] { run(); });
}

void Relay::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  resender_.stop();
  if (thread_.joinable()) thread_.join();
}

void Relay::add(const std::shared_ptr<LaneOutbox>& outbox) {
  const std::lock_guard lock(mutex_);
  std::erase_if(outboxes_, [](const auto& o) { return o.expired(); });
  outboxes_.push_back(outbox);
}

bool Relay::with_producer(const std::function<bool(kafka::Producer&)>& send) {
  const std::shared_lock lock(producer_mutex_);
  if (!producer_) return true;  // being rebuilt: everything is sent again afterwards
  const bool sent = send(*producer_);
  if (!sent) queue_was_full_ = true;
  return sent;
}

void Relay::failed(std::uint64_t generation, const std::string& topic, const std::string& error, bool aside) {
  if (aside) got_on_ = true;
  if (!is_current(generation) || failed_generation_.exchange(generation) == generation) return;
  {
    const std::lock_guard lock(mutex_);
    trouble_ = "Kafka refuses an event for topic " + topic + ": " + error;
  }
  if (!aside) log_.error("Kafka refuses an event; it and what follows it in its lane are kept in the outbox and tried again", {{"topic", topic}, {"error", error}});
}

std::string Relay::trouble() const {
  const std::lock_guard lock(mutex_);
  return trouble_;
}

void Relay::run() {
  while (!stopping_) {
    if (!producer_ || failed_generation_ == generation_) {
      rebuild();
      continue;
    }
    producer_->poll(std::chrono::milliseconds(50));
    DEJA_FAILPOINT(after_delivery_poll);
    if (failures_ > 0 && failed_generation_ != generation_ && nothing_refused()) {
      failures_ = 0;
      const std::lock_guard lock(mutex_);
      trouble_.clear();
    }
    if (queue_was_full_.exchange(false)) pump_all();
  }
}

void Relay::rebuild() {
  {
    const std::unique_lock lock(producer_mutex_);
    producer_.reset();
    ++generation_;
  }
  if (got_on_.exchange(false)) failures_ = 0;
  {
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, core::full_jitter(backoff_, ++failures_, random_.unit()), [&] { return stopping_.load(); });
  }
  {
    const std::unique_lock lock(producer_mutex_);
    for (const auto& outbox : outboxes()) outbox->start_over();
    try {
      producer_ = std::make_unique<kafka::Producer>(settings_, client_id_, generation_, log_);
    } catch (const std::exception& e) {  // no threads or descriptors left: tried again
      log_.error("cannot make a producer; events wait in the outbox", {{"error", std::string(e.what())}});
      const std::lock_guard trouble(mutex_);
      trouble_ = std::string("cannot make a producer: ") + e.what();
    }
  }
  DEJA_FAILPOINT(after_producer_rebuilt);
  pump_all();
}

bool Relay::nothing_refused() {
  const auto all = outboxes();
  return std::none_of(all.begin(), all.end(), [](const auto& outbox) { return outbox->probing(); });
}

void Relay::pump_all() {
  for (const auto& outbox : outboxes()) outbox->pump();
}

std::vector<std::shared_ptr<LaneOutbox>> Relay::outboxes() {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<LaneOutbox>> alive;
  for (const auto& weak : outboxes_)
    if (auto outbox = weak.lock()) alive.push_back(std::move(outbox));
  return alive;
}

}  // namespace deja::runtime
