#pragma once

#include <chrono>

namespace deja::core {

using Steady = std::chrono::steady_clock;

/// Time as an argument: simulated in tests, steady so that a jump of the host's clock has no effect.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Steady::time_point now() const = 0;
};

class SteadyClock final : public Clock {
 public:
  Steady::time_point now() const override { return Steady::now(); }
};

}  // namespace deja::core
