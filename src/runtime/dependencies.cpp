#include "runtime/dependencies.h"

namespace deja::runtime {

void Dependencies::up(std::string_view name) {
  const std::lock_guard lock(mutex_);
  auto& d = known_[std::string(name)];
  away_since_.erase(std::string(name));
  if (d.up) return;
  const bool returned = !d.name.empty();
  d = {std::string(name), true, {}};
  metrics_.gauge("deja_dependency_up", {d.name}).set(1);
  if (returned) log_.info("dependency is back", {{"dependency", d.name}});
}

void Dependencies::down(std::string_view name, std::string_view cause) {
  const std::lock_guard lock(mutex_);
  auto& d = known_[std::string(name)];
  const bool changed = d.name.empty() || d.up;
  d = {std::string(name), false, std::string(cause)};
  away_since_.try_emplace(d.name, std::chrono::steady_clock::now());
  if (!changed) return;
  metrics_.gauge("deja_dependency_up", {d.name}).set(0);
  log_.error("dependency is away; consumption waits for it", {{"dependency", d.name}, {"cause", d.cause}});
}

void Dependencies::forget(std::string_view name) {
  const std::lock_guard lock(mutex_);
  const auto found = known_.find(name);
  if (found == known_.end() || name == "postgres" || name == "kafka") return;  // those deja needs itself
  metrics_.forget("deja_dependency_up", {found->first});
  away_since_.erase(found->first);
  known_.erase(found);
}

std::chrono::milliseconds Dependencies::away_for(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto since = away_since_.find(name);
  if (since == away_since_.end()) return {};
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - since->second);
}

std::vector<core::DependencyStatus> Dependencies::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<core::DependencyStatus> list;
  for (const auto& [name, status] : known_) list.push_back(status);
  return list;
}

}  // namespace deja::runtime
