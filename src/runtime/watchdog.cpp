#include "runtime/watchdog.h"

#include <algorithm>

namespace deja::runtime {

using std::chrono::milliseconds;

namespace {
// A handler that returns late is judged by its batch (`handler.timeout.ms`); one that is much later than that never will.
milliseconds grace_of(milliseconds timeout) { return std::clamp(timeout, milliseconds(1000), milliseconds(5000)); }
}  // namespace

void CallInProgress::of(std::string handler, std::string place) {
  const std::lock_guard lock(mutex_);
  call_.handler = std::move(handler);
  call_.place = std::move(place);
}

void CallInProgress::begin(std::int64_t offset) {
  if (watchdog_) stood_still_before_ = watchdog_->stood_still_before();
  const std::lock_guard lock(mutex_);
  call_.offset = offset;
  ++call_.number;
  running_ = true;
}

void CallInProgress::end() {
  const std::lock_guard lock(mutex_);
  running_ = false;
}

milliseconds CallInProgress::stood_still() const {
  return watchdog_ ? watchdog_->stood_still() - stood_still_before_ : milliseconds(0);
}

std::optional<CallInProgress::Call> CallInProgress::now() const {
  const std::lock_guard lock(mutex_);
  return running_ ? std::optional(call_) : std::nullopt;
}

Watchdog::Watchdog(milliseconds handler_timeout, const core::Clock& clock, std::function<void(std::string)> hangs)
    : timeout_(handler_timeout), grace_(grace_of(handler_timeout)), clock_(clock), hangs_(std::move(hangs)) {}

void Watchdog::start() {
  {
    const std::lock_guard lock(mutex_);
    last_look_ = clock_.now();
  }
  thread_ = std::thread([this] { run(); });
}

void Watchdog::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

std::shared_ptr<CallInProgress> Watchdog::add() {
  auto call = std::make_shared<CallInProgress>(this);
  const std::lock_guard lock(mutex_);
  calls_.push_back({call});
  return call;
}

void Watchdog::run() {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, grace_ / 4, [this] { return stopping_; })) {
    lock.unlock();
    if (auto cause = look()) return hangs_(std::move(*cause));
    lock.lock();
  }
}

// Looks come every quarter of the grace.
milliseconds Watchdog::late_by(core::Steady::time_point now) const {
  return last_look_ ? std::max(std::chrono::duration_cast<milliseconds>(now - *last_look_) - grace_ / 2, milliseconds(0)) : milliseconds(0);
}

milliseconds Watchdog::stood_still() const {
  const std::lock_guard lock(mutex_);
  return stood_still_before() + late_by(clock_.now());
}

std::optional<std::string> Watchdog::look() {
  const std::lock_guard lock(mutex_);
  const auto now = clock_.now();
  const auto late = late_by(now);
  const auto passed = last_look_ ? std::chrono::duration_cast<milliseconds>(now - *last_look_) - late : grace_ / 4;
  stood_still_ms_ += late.count();
  last_look_ = now;
  for (auto& seen : calls_) {
    const auto worker = seen.call.lock();
    const auto call = worker ? worker->now() : std::nullopt;
    if (!call || call->number != seen.number) {
      seen.number = call ? call->number : 0;
      seen.for_ = milliseconds(0);
      continue;
    }
    seen.for_ += passed;
    if (seen.for_ < timeout_ + grace_) continue;
    return "handler " + call->handler + " hangs: it has not returned from " + call->place + " offset " + std::to_string(call->offset) + " for " +
           std::to_string(seen.for_.count()) + " ms (handler.timeout.ms is " + std::to_string(timeout_.count()) +
           "); a record on which it hangs again when it runs alone, crash.max.starts times, becomes a dead letter";
  }
  return std::nullopt;
}

}  // namespace deja::runtime
