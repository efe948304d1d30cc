#include "runtime/resender.h"

#include <chrono>
#include <exception>
#include <set>
#include <system_error>

#include "core/events_aside.h"
#include "failpoints/failpoint.h"

namespace deja::runtime {

namespace {
using namespace std::chrono_literals;
constexpr auto answered_within = 10s;  // beyond it Kafka is away: what is under way is dropped and tried again later
constexpr auto kept_for = 10s;         // the producer and the thread, for the next
constexpr auto deliveries_within = 20ms;
}  // namespace

Resending::Resending(std::string number_prefix, std::string topic, std::vector<postgres::StoredEvent> events, std::function<void()> done)
    : number_prefix_(std::move(number_prefix)), topic_(std::move(topic)), events_(std::move(events)), tell_(std::move(done)) {}

std::vector<core::Uuid> Resending::keys() const {
  core::EventsAside ids;
  std::set<core::Uuid> keys;
  for (const auto& e : events_)
    if (const auto id = ids.key_id(e.event)) keys.insert(*id);
  return {keys.begin(), keys.end()};
}

std::vector<std::int64_t> Resending::acknowledged() const {
  const std::lock_guard lock(mutex_);
  return acknowledged_;
}

std::optional<std::pair<std::int64_t, kafka::Refusal>> Resending::refused() const {
  const std::lock_guard lock(mutex_);
  return refused_;
}

void Resending::delivered(std::int64_t seq, std::uint64_t, const std::optional<kafka::Refusal>& refusal) {
  const std::lock_guard lock(mutex_);
  if (!refusal) return acknowledged_.push_back(seq);
  failed_ = true;
  first_refused(seq, *refusal);
}

void Resending::refused_here(std::int64_t seq, const kafka::Refusal& refusal) {
  const std::lock_guard lock(mutex_);
  first_refused(seq, refusal);
}

void Resending::first_refused(std::int64_t seq, const kafka::Refusal& refusal) {
  if (refusal.fault != kafka::Fault::producer && (!refused_ || seq < refused_->first)) refused_.emplace(seq, refusal);
}

bool Resending::over(std::size_t sent, bool all_sent) const {
  const std::lock_guard lock(mutex_);
  return failed_ || (all_sent && acknowledged_.size() == sent);
}

Resender::Resender(Settings settings, std::string client_id, core::Log& log)
    : settings_(std::move(settings)), client_id_(std::move(client_id) + "-set-aside"), log_(log) {
  // a broker that knows nothing of a producer yet takes what is behind a refused request
  settings_.emplace_back("max.in.flight.requests.per.connection", "1");
}

Resender::~Resender() { stop(); }

void Resender::submit(const std::shared_ptr<Resending>& events) {
  try {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    if (!running_) {
      if (thread_.joinable()) thread_.join();  // it has ended
      thread_ = std::thread([this] { run(); });
      running_ = true;
    }
    queue_.push_back(events);
    wake_.notify_all();
    return;
  } catch (const std::system_error& e) {
    not_tried(*events, e);
  }
}

// No threads or descriptors left: tried again later.
void Resender::not_tried(Resending& events, const std::exception& error) {
  log_.error("cannot make a producer; events that were set aside wait", {{"error", std::string(error.what())}});
  events.done_ = true;
  events.tell_();
}

void Resender::withdraw(const std::shared_ptr<Resending>& events) {
  events->cancelled_ = true;
  const std::lock_guard lock(mutex_);
  if (std::erase(queue_, events) > 0) events->done_ = true;
}

void Resender::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Resender::run() {
  for (;;) {
    std::shared_ptr<Resending> events;
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, kept_for, [&] { return stopping_ || !queue_.empty(); });
      if (stopping_ || queue_.empty()) {
        running_ = false;
        break;
      }
      events = std::move(queue_.front());
      queue_.pop_front();
    }
    try {
      if (!events->cancelled_) send(events);
      events->done_ = true;
      events->tell_();
    } catch (const std::exception& e) {
      not_tried(*events, e);
    }
  }
  producer_.reset();
}

void Resender::send(const std::shared_ptr<Resending>& events) {
  if (!producer_) producer_ = std::make_unique<kafka::Producer>(settings_, client_id_, ++generation_, log_);
  const auto give_up = std::chrono::steady_clock::now() + answered_within;
  std::size_t sent = 0;
  bool all_sent = false;  // or one was refused before it left: those before it are on their way
  while (!events->over(sent, all_sent) && !events->cancelled_ && !stopping_ && std::chrono::steady_clock::now() < give_up) {
    for (bool room = true; room && !all_sent;) {
      const auto& e = events->events_[sent];
      kafka::Refusal refusal;
      switch (producer_->send(events, e.seq, e.event, events->number_prefix_ + std::to_string(e.seq), refusal)) {
        case kafka::Producer::Sent::queue_full:
          room = false;
          break;
        case kafka::Producer::Sent::refused:
          events->refused_here(e.seq, refusal);
          all_sent = true;
          break;
        case kafka::Producer::Sent::yes:
          DEJA_FAILPOINT(after_handed);
          all_sent = ++sent == events->events_.size();
      }
    }
    producer_->poll(deliveries_within);
  }
  if (events->acknowledged().size() < sent) producer_.reset();  // what is under way is taken back, as far as it can be
  DEJA_FAILPOINT(after_tried_again);
}

}  // namespace deja::runtime
