#include "runtime/floods.h"

#include <utility>

#include "runtime/time_of_day.h"

namespace deja::runtime {

using core::FloodState;

Floods::Floods(core::FloodPolicy policy, std::chrono::milliseconds probes_every, const core::Clock& clock, core::Log& log, core::Metrics& metrics,
               std::function<std::int64_t()> wall)
    : policy_(policy), probes_every_(probes_every), clock_(clock), log_(log), metrics_(metrics), wall_(wall ? std::move(wall) : now_of_day) {}

Floods::Entry& Floods::entry(const std::string& handler) {
  const auto [found, added] = entries_.try_emplace(handler);
  if (added) {
    found->second.guard = core::FloodGuard(policy_);
    metrics_.gauge("deja_flood_guard_state", {handler}).set(0);
  }
  return found->second;
}

void Floods::add(const std::string& handler) {
  const std::lock_guard lock(mutex_);
  entry(handler);
}

void Floods::show(const std::string& handler, Entry& e) {
  const auto now = clock_.now();
  const auto state = e.guard.state(now);
  const auto fingerprint = e.guard.fingerprint(now).value_or("");
  if (state == e.shown && (state == FloodState::watching || fingerprint == e.fingerprint)) return;
  const auto before = std::exchange(e.cause, fingerprint.empty() ? std::string() : e.words[fingerprint]);
  e.fingerprint = fingerprint;
  e.shown = state;
  e.needed = true;
  e.since_ms = wall_();
  metrics_.gauge("deja_flood_guard_state", {handler}).set(static_cast<double>(state));
  if (state == FloodState::outage)
    log_.error("flood: most records fail with one cause, which is taken for an outage; they wait, nothing is spent. Poison? deja flood poison --handler " + handler,
               {{"handler", handler}, {"cause", e.cause}, {"fingerprint", e.fingerprint}});
  else if (state == FloodState::poison)
    log_.warn("what fails so is poison, says an operator, and becomes dead letters", {{"handler", handler}, {"cause", e.cause}, {"fingerprint", e.fingerprint}});
  else
    log_.info("the flood is over", {{"handler", handler}, {"cause", before}});
  if (state == FloodState::watching) e.words.clear();
}

std::optional<std::string> Floods::trips(const std::string& handler, const core::FirstTries& tries, const std::map<std::string, std::string>& words) {
  if (tries.failed.empty()) return std::nullopt;
  const std::lock_guard lock(mutex_);
  auto& e = entry(handler);
  const auto now = clock_.now();
  const auto fingerprint = e.guard.flood(tries, now);
  if (!fingerprint) return std::nullopt;
  e.guard.trip(*fingerprint, now);
  e.words[*fingerprint] = words.at(*fingerprint);
  e.last_trip = Trip{*fingerprint, now};
  ++trips_;
  show(handler, e);
  return fingerprint;
}

void Floods::delivered(const std::string& handler, const core::FirstTries& tries, const std::vector<std::string>& failed_again) {
  const std::lock_guard lock(mutex_);
  auto& guard = entry(handler).guard;
  const auto now = clock_.now();
  guard.delivered(tries, now);
  for (const auto& fingerprint : failed_again) guard.failed(fingerprint, now);
}

std::optional<std::string> Floods::holds(const std::string& handler, const std::string& fingerprint) {
  const std::lock_guard lock(mutex_);
  auto& e = entry(handler);
  if (!e.guard.holds(fingerprint)) return std::nullopt;
  e.guard.held(clock_.now());
  return e.cause;
}

void Floods::over(const std::string& handler) {
  const std::lock_guard lock(mutex_);
  auto& e = entry(handler);
  if (e.guard.over()) show(handler, e);
}

void Floods::forget() {
  const std::lock_guard lock(mutex_);
  for (auto& [handler, e] : entries_) {
    if (e.guard.forgotten(clock_.now(), probes_every_)) e.guard.over();
    show(handler, e);  // a ruling ends by itself
  }
}

std::optional<Floods::Trip> Floods::last_trip(const std::string& handler) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(handler);
  return found != entries_.end() ? found->second.last_trip : std::nullopt;
}

bool Floods::rule_poison(const std::string& handler, const std::string& fingerprint) {
  const std::lock_guard lock(mutex_);
  auto& e = entry(handler);
  if (!e.guard.rule_poison(fingerprint, clock_.now())) return false;
  show(handler, e);
  return true;
}

bool Floods::rule_outage(const std::string& handler, const std::string& fingerprint) {
  const std::lock_guard lock(mutex_);
  auto& e = entry(handler);
  const auto now = clock_.now();
  if (!e.guard.rule_outage(fingerprint, now)) return false;
  e.last_trip = Trip{fingerprint, now};
  ++trips_;
  show(handler, e);
  return true;
}

std::vector<core::FloodStatus> Floods::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<core::FloodStatus> list;
  for (const auto& [handler, e] : entries_)
    if (e.needed) list.push_back({handler, std::string(core::in_words(e.shown)), e.since_ms, e.cause, e.fingerprint});
  return list;
}

}  // namespace deja::runtime
