#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

// The narrow interface by which the rest of deja measures itself. ops implements it on prometheus-cpp; tests may count.

namespace deja::core {

class Counter {
 public:
  virtual ~Counter() = default;
  virtual void add(double amount = 1) = 0;
};
class Gauge {
 public:
  virtual ~Gauge() = default;
  virtual void set(double value) = 0;
};
class Histogram {
 public:
  virtual ~Histogram() = default;
  virtual void observe(double value) = 0;
};

/// Label values in the order of the metric's row in the table (core/metric_table.h), without `group`.
using Labels = std::vector<std::string>;

/// Gives out instruments by the metric's name. Resolve once and keep the reference: it lives as long as this object. Any thread.
/// Throws std::logic_error for a name that is not in the table or a wrong number of labels.
class Metrics {
 public:
  virtual ~Metrics() = default;
  virtual Counter& counter(std::string_view name, const Labels& labels) = 0;
  virtual Gauge& gauge(std::string_view name, const Labels& labels) = 0;
  virtual Histogram& histogram(std::string_view name, const Labels& labels) = 0;
  /// Forgets a gauge of a partition or lane that this instance no longer owns, so that sums over the fleet stay right.
  virtual void forget(std::string_view name, const Labels& labels) = 0;
};

}  // namespace deja::core
