#include "core/backoff.h"

#include <algorithm>
#include <cmath>

namespace deja::core {

std::chrono::milliseconds full_jitter(const BackoffPolicy& policy, std::uint32_t attempt, double unit) {
  const auto base = static_cast<double>(policy.base.count());
  const auto cap = static_cast<double>(policy.cap.count());
  const double ceiling = std::min(cap, std::ldexp(base, static_cast<int>(std::min(attempt, 62U))));
  return std::chrono::milliseconds(static_cast<std::int64_t>(unit * ceiling));
}

BackoffPolicy of_outages(const BackoffPolicy& of_records) {
  constexpr std::chrono::milliseconds most{5000};
  return {std::min(of_records.base, most), std::min(of_records.cap, most)};
}

}  // namespace deja::core
