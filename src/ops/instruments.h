#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include <prometheus/client_metric.h>

#include "core/metrics.h"

// Instruments of a few atomics each. prometheus-cpp's own histogram takes a lock per observation, and a series removed from its
// families leaves dangling references behind; only its data model and its serializer are used here.

namespace deja::ops {

class AtomicCounter final : public core::Counter {
 public:
  void add(double amount) override;
  void collect(prometheus::ClientMetric& metric) const;

 private:
  std::atomic<double> value_{0};
};

class AtomicGauge final : public core::Gauge {
 public:
  void set(double value) override { value_.store(value, std::memory_order_relaxed); }
  void collect(prometheus::ClientMetric& metric) const;

 private:
  std::atomic<double> value_{0};
};

class AtomicHistogram final : public core::Histogram {
 public:
  /// `bounds` outlive the histogram.
  explicit AtomicHistogram(std::span<const double> bounds);
  void observe(double value) override;
  void collect(prometheus::ClientMetric& metric) const;

 private:
  std::span<const double> bounds_;
  std::unique_ptr<std::atomic<std::uint64_t>[]> counts_;  // one for each bound, and one for what lies above
  std::atomic<double> sum_{0};
};

}  // namespace deja::ops
