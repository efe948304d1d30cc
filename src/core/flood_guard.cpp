#include "core/flood_guard.h"

#include <algorithm>
#include <utility>

namespace deja::core {

bool may_be_outage(Trouble trouble) {
  switch (trouble) {
    case Trouble::exception:
    case Trouble::final_exception:
    case Trouble::at_commit:
    case Trouble::too_slow:
    case Trouble::undecodable:
      return true;
    default:
      return false;
  }
}

std::int64_t FloodGuard::slice_of(Steady::time_point now) const {
  return now.time_since_epoch() / std::max<Steady::duration>(policy_.window / slices, Steady::duration(1));
}

std::optional<std::string> FloodGuard::flood(const FirstTries& tries, Steady::time_point now) const {
  auto records = tries.records;
  auto failed = tries.failed;
  const auto oldest = slice_of(now) - slices;
  for (const auto& slice : window_) {
    if (slice.number <= oldest) continue;
    records += slice.tries.records;
    for (auto& [fingerprint, n] : failed)
      if (const auto found = slice.tries.failed.find(fingerprint); found != slice.tries.failed.end()) n += found->second;
  }
  if (records < FloodPolicy::least) return std::nullopt;
  for (const auto& [fingerprint, n] : failed)
    if (static_cast<double>(n) > policy_.ratio * static_cast<double>(records) && !poison(fingerprint, now) && !holds(fingerprint)) return fingerprint;
  return std::nullopt;
}

void FloodGuard::delivered(const FirstTries& tries, Steady::time_point now) {
  const auto number = slice_of(now);
  std::erase_if(window_, [&](const Slice& slice) { return slice.number <= number - slices; });
  if (tries.records > 0) {
    if (window_.empty() || window_.back().number < number) window_.push_back({number, {}});
    auto& counted = window_.back().tries;
    counted.records += tries.records;
    for (const auto& [fingerprint, n] : tries.failed)
      if (counted.failed.contains(fingerprint) || counted.failed.size() < most_causes) counted.failed[fingerprint] += n;
  }
  for (const auto& [fingerprint, n] : tries.failed) failed(fingerprint, now);
}

void FloodGuard::failed(const std::string& fingerprint, Steady::time_point now) {
  if (poison(fingerprint, now)) poison_[fingerprint] = now;
}

void FloodGuard::trip(const std::string& fingerprint, Steady::time_point now) {
  outage_ = fingerprint;
  poison_.erase(fingerprint);
  window_.clear();
  last_held_ = now;
}

bool FloodGuard::over() {
  window_.clear();
  return std::exchange(outage_, std::nullopt).has_value();
}

bool FloodGuard::forgotten(Steady::time_point now, std::chrono::milliseconds probes_every) const {
  return outage_ && now > last_held_ + policy_.window + 2 * probes_every;
}

bool FloodGuard::rule_poison(const std::string& fingerprint, Steady::time_point now) {
  if (!holds(fingerprint)) return false;
  over();
  poison_[fingerprint] = now;
  return true;
}

bool FloodGuard::rule_outage(const std::string& fingerprint, Steady::time_point now) {
  if (!poison(fingerprint, now)) return false;
  trip(fingerprint, now);
  return true;
}

bool FloodGuard::poison(const std::string& fingerprint, Steady::time_point now) const {
  const auto found = poison_.find(fingerprint);
  return found != poison_.end() && now <= found->second + policy_.window;
}

FloodState FloodGuard::state(Steady::time_point now) const {
  if (outage_) return FloodState::outage;
  return fingerprint(now) ? FloodState::poison : FloodState::watching;
}

std::optional<std::string> FloodGuard::fingerprint(Steady::time_point now) const {
  if (outage_) return outage_;
  std::optional<std::string> last;
  for (const auto& [fingerprint, seen] : poison_)
    if (now <= seen + policy_.window && (!last || seen > poison_.at(*last))) last = fingerprint;
  return last;
}

}  // namespace deja::core
