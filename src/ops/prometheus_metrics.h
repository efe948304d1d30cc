#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/metrics.h"

namespace deja::ops {

/// Keeps every metric of core::metric_table() and renders them in Prometheus' text format.
///
/// Threading: any thread for everything; resolving an instrument takes a lock, using it takes none.
/// A forgotten series is no longer rendered; its reference stays valid, and resolving it again shows it again (a gauge from 0, a
/// counter or histogram from where it was). Label values are made valid UTF-8 without control characters and cut to 200 bytes.
/// A metric keeps at most max_series series; what goes beyond is collected in one whose labels are "other".
class PrometheusMetrics final : public core::Metrics {
 public:
  static constexpr std::size_t max_series = 10'000;

  /// `group` becomes the first label of every series.
  explicit PrometheusMetrics(std::string_view group);
  ~PrometheusMetrics() override;
  PrometheusMetrics(const PrometheusMetrics&) = delete;
  PrometheusMetrics& operator=(const PrometheusMetrics&) = delete;

  core::Counter& counter(std::string_view name, const core::Labels& labels) override;
  core::Gauge& gauge(std::string_view name, const core::Labels& labels) override;
  core::Histogram& histogram(std::string_view name, const core::Labels& labels) override;
  void forget(std::string_view name, const core::Labels& labels) override;

  /// The body of /metrics, process_* included.
  std::string render() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace deja::ops
