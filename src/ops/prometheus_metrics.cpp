#include "ops/prometheus_metrics.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <span>
#include <stdexcept>
#include <variant>
#include <vector>

#include <prometheus/text_serializer.h>

#include "core/metric_table.h"
#include "ops/histogram_buckets.h"
#include "ops/instruments.h"
#include "ops/process_metrics.h"
#include "core/utf8.h"
#include "ops/utf8.h"

namespace deja::ops {
namespace {

constexpr std::size_t max_label_bytes = 200;

// One bad byte in one label makes Prometheus refuse the whole scrape.
std::string clean_label(std::string_view value) {
  value = core::utf8_prefix(value, max_label_bytes);
  std::string clean;
  while (!value.empty()) {
    const auto next = decode_utf8(value);
    if (next.valid && next.code >= 0x20 && next.code != 0x7F) {
      clean += value.substr(0, next.bytes);
    } else {
      clean += '?';
    }
    value.remove_prefix(next.bytes);
  }
  return clean;
}

std::vector<std::string> split_labels(std::string_view text) {
  std::vector<std::string> names;
  while (!text.empty()) {
    const auto end = std::min(text.find(','), text.size());
    names.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return names;
}

prometheus::MetricType type_of(core::MetricKind kind) {
  switch (kind) {
    case core::MetricKind::counter: return prometheus::MetricType::Counter;
    case core::MetricKind::gauge: return prometheus::MetricType::Gauge;
    case core::MetricKind::histogram: return prometheus::MetricType::Histogram;
  }
  return prometheus::MetricType::Untyped;
}

struct Series {
  std::variant<AtomicCounter, AtomicGauge, AtomicHistogram> instrument;
  bool shown = true;

  explicit Series(const core::MetricRow& row) {
    if (row.kind == core::MetricKind::gauge) instrument.emplace<AtomicGauge>();
    if (row.kind == core::MetricKind::histogram) instrument.emplace<AtomicHistogram>(histogram_buckets(row.buckets));
  }
};

struct Family {
  const core::MetricRow* row;
  std::vector<std::string> label_names;
  std::map<core::Labels, Series> series;  // nodes never move, so references stay valid
};

}  // namespace

class PrometheusMetrics::Impl {
 public:
  explicit Impl(std::string_view group) : group_(clean_label(group)) {
    for (const core::MetricRow& row : core::metric_table()) families_.push_back({&row, split_labels(row.labels), {}});
  }

  template <class Instrument>
  Instrument& resolve(std::string_view name, core::MetricKind kind, const core::Labels& labels) {
    Family& family = find(name, labels);
    if (family.row->kind != kind) throw std::logic_error("metric " + std::string(name) + " is of another kind");
    const std::lock_guard lock(mutex_);
    Series& series = find_or_add(family, cleaned(labels));
    Instrument& instrument = std::get<Instrument>(series.instrument);
    if (!series.shown) {
      series.shown = true;
      if constexpr (std::is_same_v<Instrument, AtomicGauge>) instrument.set(0);
    }
    return instrument;
  }

  void forget(std::string_view name, const core::Labels& labels) {
    Family& family = find(name, labels);
    const std::lock_guard lock(mutex_);
    const auto found = family.series.find(cleaned(labels));
    if (found != family.series.end()) found->second.shown = false;
  }

  std::vector<prometheus::MetricFamily> collect() const {
    std::vector<prometheus::MetricFamily> result;
    const std::lock_guard lock(mutex_);
    for (const Family& family : families_) {
      prometheus::MetricFamily collected;
      collected.name = family.row->name;
      collected.help = family.row->help;
      collected.type = type_of(family.row->kind);
      for (const auto& [labels, series] : family.series) {
        if (series.shown) collected.metric.push_back(collect(family, labels, series));
      }
      if (!collected.metric.empty()) result.push_back(std::move(collected));
    }
    return result;
  }

  const std::string& group() const { return group_; }

 private:
  static core::Labels cleaned(const core::Labels& labels) {
    core::Labels result;
    for (const std::string& label : labels) result.push_back(clean_label(label));
    return result;
  }

  Family& find(std::string_view name, const core::Labels& labels) {
    const auto family = std::ranges::find(families_, name, [](const Family& each) { return each.row->name; });
    if (family == families_.end()) throw std::logic_error("no metric named " + std::string(name));
    if (labels.size() != family->label_names.size()) {
      throw std::logic_error("metric " + std::string(name) + " has the labels " + std::string(family->row->labels) + ", but " +
                             std::to_string(labels.size()) + " values were given");
    }
    return *family;
  }

  static Series& find_or_add(Family& family, const core::Labels& labels) {
    if (const auto found = family.series.find(labels); found != family.series.end()) return found->second;
    const bool full = family.series.size() >= max_series;
    return family.series.try_emplace(full ? core::Labels(labels.size(), "other") : labels, *family.row).first->second;
  }

  prometheus::ClientMetric collect(const Family& family, const core::Labels& labels, const Series& series) const {
    prometheus::ClientMetric metric;
    metric.label.push_back({"group", group_});
    for (std::size_t i = 0; i < labels.size(); ++i) metric.label.push_back({family.label_names[i], labels[i]});
    std::visit([&metric](const auto& instrument) { instrument.collect(metric); }, series.instrument);
    return metric;
  }

  const std::string group_;
  std::vector<Family> families_;  // as many as the table has rows; only their series change, under the mutex
  mutable std::mutex mutex_;
};

PrometheusMetrics::PrometheusMetrics(std::string_view group) : impl_(std::make_unique<Impl>(group)) {}
PrometheusMetrics::~PrometheusMetrics() = default;

core::Counter& PrometheusMetrics::counter(std::string_view name, const core::Labels& labels) {
  return impl_->resolve<AtomicCounter>(name, core::MetricKind::counter, labels);
}

core::Gauge& PrometheusMetrics::gauge(std::string_view name, const core::Labels& labels) {
  return impl_->resolve<AtomicGauge>(name, core::MetricKind::gauge, labels);
}

core::Histogram& PrometheusMetrics::histogram(std::string_view name, const core::Labels& labels) {
  return impl_->resolve<AtomicHistogram>(name, core::MetricKind::histogram, labels);
}

void PrometheusMetrics::forget(std::string_view name, const core::Labels& labels) { impl_->forget(name, labels); }

std::string PrometheusMetrics::render() const {
  auto families = impl_->collect();
  std::ranges::move(process_metrics(impl_->group()), std::back_inserter(families));
  const prometheus::TextSerializer serializer;
  return serializer.Serialize(families);
}

}  // namespace deja::ops
