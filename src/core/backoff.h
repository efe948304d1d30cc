#pragma once

#include <chrono>
#include <cstdint>

namespace deja::core {

struct BackoffPolicy {
  std::chrono::milliseconds base{200};
  std::chrono::milliseconds cap{60000};
};

/// Full jitter: uniform in [0, min(cap, base * 2^attempt)), `unit` being uniform in [0, 1). Attempts count from 0.
/// Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
std::chrono::milliseconds full_jitter(const BackoffPolicy& policy, std::uint32_t attempt, double unit);

/// How long to wait before another look at a server that is away: as for a record, but its return is noticed within seconds.
BackoffPolicy of_outages(const BackoffPolicy& of_records);

}  // namespace deja::core
