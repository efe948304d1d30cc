#include "runtime/breakers.h"

#include <algorithm>

#include "runtime/time_of_day.h"

namespace deja::runtime {

using core::BreakerState;

namespace {
constexpr std::size_t most_entries = 200;
}  // namespace

Breakers::Breakers(core::BreakerPolicy policy, core::Log& log, core::Metrics& metrics, std::function<std::int64_t()> wall)
    : policy_(policy), log_(log), metrics_(metrics), wall_(wall ? std::move(wall) : now_of_day) {}

Breakers::Entry& Breakers::entry(const Need& need) {
  const auto found = entries_.find(need);
  if (found != entries_.end()) return found->second;
  if (entries_.size() >= most_entries)  // names that vary, a defect of the handler's
    std::erase_if(entries_, [](const auto& e) { return e.second.shown == BreakerState::closed && e.second.callers.empty(); });
  auto& made = entries_[need];
  made.breaker = core::Breaker(need.flood ? core::BreakerPolicy{1, policy_.open_for} : policy_);
  made.since_ms = wall_();
  if (!need.flood) measure(need.dependency);
  return made;
}

// One value for a dependency: the worst of its handlers'.
void Breakers::measure(const std::string& dependency) {
  auto worst = BreakerState::closed;
  for (const auto& [need, e] : entries_)
    if (!need.flood && need.dependency == dependency) worst = std::max(worst, e.shown);
  metrics_.gauge("deja_breaker_state", {dependency}).set(static_cast<double>(worst));
}

void Breakers::show(const Need& need, Entry& entry) {
  const auto state = entry.breaker.state();
  if (state == entry.shown) return;
  const bool opens = state == BreakerState::open, opened_before = entry.shown == BreakerState::half_open;
  entry.shown = state;
  entry.since_ms = wall_();
  if (state == BreakerState::closed) entry.cause.clear();
  if (need.flood) return;
  measure(need.dependency);
  if (opens && !opened_before)
    log_.error("breaker is open; what needs the dependency waits, nothing is spent", {{"dependency", need.dependency}, {"handler", need.handler}, {"cause", entry.cause}});
  else if (state == BreakerState::closed)
    log_.info("breaker is closed", {{"dependency", need.dependency}, {"handler", need.handler}});
  else
    log_.debug("breaker changes", {{"dependency", need.dependency}, {"handler", need.handler}, {"state", std::string(core::in_words(state))}});
}

core::Breaker::Turn Breakers::ask(const Need& need, core::Breaker::Caller caller, core::Steady::time_point now) {
  const std::lock_guard lock(mutex_);
  auto& e = entry(need);
  const auto turn = e.breaker.ask(caller, now);
  show(need, e);
  return turn;
}

BreakerState Breakers::failed(const Need& need, core::Breaker::Caller caller, core::Steady::time_point now, double chance,
                              std::chrono::milliseconds at_least, const std::string& cause) {
  const std::lock_guard lock(mutex_);
  auto& e = entry(need);
  e.breaker.failed(caller, now, chance, at_least);
  e.callers.insert(caller);
  e.cause = cause;
  show(need, e);
  return e.breaker.state();
}

void Breakers::succeeded(const Need& need, core::Breaker::Caller caller) {
  const std::lock_guard lock(mutex_);
  auto& e = entry(need);
  e.breaker.succeeded(caller);
  e.callers.erase(caller);
  show(need, e);
}

void Breakers::give_back(const Need& need, core::Breaker::Caller caller) {
  const std::lock_guard lock(mutex_);
  entry(need).breaker.left(caller);
}

bool Breakers::left(const Need& need, core::Breaker::Caller caller) {
  const std::lock_guard lock(mutex_);
  auto& e = entry(need);
  e.breaker.left(caller);
  e.callers.erase(caller);
  if (!e.callers.empty()) return false;
  e.breaker.close();
  show(need, e);
  return true;
}

bool Breakers::reset(const Need& need) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(need);
  if (found == entries_.end()) return false;
  found->second.breaker.close();
  show(need, found->second);
  return true;
}

std::vector<core::BreakerStatus> Breakers::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<core::BreakerStatus> list;
  for (const auto& [need, e] : entries_)
    if (!need.flood) list.push_back({need.dependency, need.handler, std::string(core::in_words(e.shown)), e.since_ms, e.cause});
  return list;
}

}  // namespace deja::runtime
