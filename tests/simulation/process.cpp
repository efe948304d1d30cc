#include "simulation/process.h"

#include <algorithm>

#include "simulation/lane.h"
#include "simulation/simulation.h"

namespace deja::simulation {

Process::~Process() = default;

void Process::supervise() {
  if (!alive) return;
  if (simulation_.now() >= frozen_until) {
    auto& database = simulation_.database();
    if (unreported > 0) database.budget[second_of(simulation_.now())].first_deliveries += std::exchange(unreported, 0);
    for (auto& lane : lanes) lane->look_at_row();
  }
  simulation_.after(milliseconds(1000), [this] { supervise(); });
}

bool Process::may_enter(bool alone) const {
  const bool waits = std::any_of(queue_.begin(), queue_.end(), [](const Waiting& w) { return w.alone; });
  return simulation_.decisions().may_enter(alone, together_, alone_, waits);
}

bool Process::enter(Lane& lane, bool alone) {
  if (!may_enter(alone)) {
    queue_.push_back({&lane, alone});
    return false;
  }
  if (alone) alone_ = true;
  else ++together_;
  return true;
}

void Process::leave(bool alone) {
  if (alone) alone_ = false;
  else --together_;
  for (auto at = queue_.begin(); at != queue_.end();) {
    if (!may_enter(at->alone)) {
      ++at;
      continue;
    }
    if (at->alone) alone_ = true;
    else ++together_;
    auto* lane = at->lane;
    at = queue_.erase(at);
    simulation_.after(milliseconds(0), [lane] { lane->begin(); });
  }
}

Process::Entry& Process::entry(int dependency) {
  const auto [at, made] = breakers_.try_emplace(dependency);
  if (made) at->second.breaker = core::Breaker(simulation_.settings().breaker);
  return at->second;
}

core::Breaker::Turn Process::ask(int dependency, core::Breaker::Caller caller, Time now) {
  return simulation_.decisions().ask(entry(dependency).breaker, caller, now);
}

core::BreakerState Process::failed(int dependency, core::Breaker::Caller caller, Time now, double chance) {
  auto& e = entry(dependency);
  e.breaker.failed(caller, now, chance);
  e.callers.insert(caller);
  return e.breaker.state();
}

void Process::succeeded(int dependency, core::Breaker::Caller caller) {
  auto& e = entry(dependency);
  e.breaker.succeeded(caller);
  e.callers.erase(caller);
}

void Process::give_back(int dependency, core::Breaker::Caller caller) { simulation_.decisions().left(entry(dependency).breaker, caller); }

void Process::left(int dependency, core::Breaker::Caller caller) {
  auto& e = entry(dependency);
  simulation_.decisions().left(e.breaker, caller);
  e.callers.erase(caller);
  if (e.callers.empty()) e.breaker.close();
}

}  // namespace deja::simulation
