#pragma once

#include <span>
#include <string_view>

// Every metric deja exports, once: ops registers from it and docs/metrics.md is generated from it.

namespace deja::core {

enum class MetricKind { counter, gauge, histogram };

struct MetricRow {
  std::string_view name;
  MetricKind kind;
  std::string_view labels;   // comma separated, in the order in which they are given; `group` comes before them
  std::string_view buckets;  // "latency", "age" or "count" for histograms
  std::string_view help;     // also says what to do about it
};

std::span<const MetricRow> metric_table();

}  // namespace deja::core
