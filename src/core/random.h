#pragma once

#include <cstdint>
#include <random>

namespace deja::core {

/// Randomness as an argument, so that a seed repeats a run. Not for two threads at once.
class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  /// Uniform in [0, 1).
  double unit() { return std::uniform_real_distribution<double>(0.0, 1.0)(engine_); }

 private:
  std::mt19937_64 engine_;
};

}  // namespace deja::core
