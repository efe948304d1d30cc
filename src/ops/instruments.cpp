#include "ops/instruments.h"

#include <algorithm>
#include <cmath>

namespace deja::ops {

void AtomicCounter::add(double amount) {
  // A counter that fell would read as a restart of the process.
  if (amount > 0 && std::isfinite(amount)) value_.fetch_add(amount, std::memory_order_relaxed);
}

void AtomicCounter::collect(prometheus::ClientMetric& metric) const {
  metric.counter.value = value_.load(std::memory_order_relaxed);
}

void AtomicGauge::collect(prometheus::ClientMetric& metric) const { metric.gauge.value = value_.load(std::memory_order_relaxed); }

AtomicHistogram::AtomicHistogram(std::span<const double> bounds)
    : bounds_(bounds), counts_(std::make_unique<std::atomic<std::uint64_t>[]>(bounds.size() + 1)) {}

void AtomicHistogram::observe(double value) {
  // NaN would spoil the sum for good; a clock that stepped back must not make it fall.
  if (!std::isfinite(value)) return;
  value = std::max(value, 0.0);
  const auto bucket = std::ranges::lower_bound(bounds_, value) - bounds_.begin();
  counts_[static_cast<std::size_t>(bucket)].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

void AtomicHistogram::collect(prometheus::ClientMetric& metric) const {
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < bounds_.size(); ++i) {
    seen += counts_[i].load(std::memory_order_relaxed);
    metric.histogram.bucket.push_back({seen, bounds_[i]});
  }
  // The count comes from the buckets, so that a scrape in the middle of an observation never shows buckets above it.
  metric.histogram.sample_count = seen + counts_[bounds_.size()].load(std::memory_order_relaxed);
  metric.histogram.sample_sum = sum_.load(std::memory_order_relaxed);
}

}  // namespace deja::ops
