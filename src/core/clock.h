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

inline double seconds_since(Steady::time_point t) { return std::chrono::duration<double>(Steady::now() - t).count(); }

class SteadyClock final : public Clock {
 public:
  Steady::time_point now() const override { return Steady::now(); }
};

}  // namespace deja::core
