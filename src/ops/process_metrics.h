#pragma once

#include <span>
#include <string>
#include <vector>

#include <prometheus/metric_family.h>

#include "core/metric_table.h"

namespace deja::ops {

/// The process_* metrics, in the shape of core::metric_table().
std::span<const core::MetricRow> process_metric_table();

/// Their values now, read from /proc/self. What cannot be read is left out.
std::vector<prometheus::MetricFamily> process_metrics(const std::string& group);

}  // namespace deja::ops
