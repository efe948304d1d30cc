#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace deja::core {

/// How many redeliveries a fleet allows itself: a share of the first deliveries of a sliding window, and a floor, so that what fails
/// rarely need not wait for traffic. Source of the form and of the floor: Twitter Finagle, RetryBudget (percentCanRetry,
/// minRetriesPerSec = 10, ttl = 10 s).
struct RetryBudget {
  double ratio = 0.1;
  static constexpr std::chrono::seconds window{10};
  static constexpr std::int64_t floor_per_second = 10;

  /// Within one window.
  struct Spent {
    std::int64_t first_deliveries = 0, redeliveries = 0;
  };
  std::int64_t tokens(const Spent& spent) const {
    const auto allowed = static_cast<std::int64_t>(ratio * static_cast<double>(spent.first_deliveries)) + floor_per_second * window.count();
    return std::max<std::int64_t>(0, allowed - spent.redeliveries);
  }
};

/// Handler calls for each first delivery; 1 when there was none.
inline double amplification(const RetryBudget::Spent& spent) {
  if (spent.first_deliveries == 0) return 1;
  return 1 + static_cast<double>(spent.redeliveries) / static_cast<double>(spent.first_deliveries);
}

}  // namespace deja::core
