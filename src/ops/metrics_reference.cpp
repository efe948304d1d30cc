#include "ops/metrics_reference.h"

#include <array>
#include <cstdio>
#include <span>
#include <string_view>

#include "core/metric_table.h"
#include "ops/histogram_buckets.h"
#include "ops/process_metrics.h"

namespace deja::ops {
namespace {

constexpr std::string_view introduction = R"(# Metrics

Every instance serves these at `/metrics` of [`http.address`](configuration.md), in Prometheus' text format. Each series carries the
label `group`, the consumer group. Labels are bounded: topics, handlers, partitions and fixed words, never a key, an offset or a tenant.

A lane's owner exports what belongs to the lane, so over a fleet:

- counters, and gauges of records, events and lanes: `sum()`;
- ages and stalls: `max()`;
- `deja_keys_estimated` and `deja_key_generations` have one value everywhere: `max()`.

Rules, alerts and a dashboard that use them are in [`examples/monitoring`](../examples/monitoring). This page is generated from the
program's own table.

## Which question does which metric answer?

| question | look at |
|---|---|
| Is it working, and how fast? | `sum by (disposition) (rate(deja_records_total[5m]))` |
| Do we keep up? | `sum by (topic) (deja_consumer_lag_records)`, and `deja_end_to_end_latency_seconds` for the delay itself |
| Does something block a partition? | `deja_lane_stalled_seconds`, then `deja_lanes_paused` by cause, then `deja lanes` |
| Does a producer send twice? | `deja_duplicates_total{cause="producer"}` and the hit ratio below; `/status` shows the last ones |
| Is the dedup window long enough? | the high buckets of `deja_duplicate_age_seconds` |
| Does somebody have to repair records? | `deja_dead_letters`, `deja_dead_letter_oldest_age_seconds`; why: `deja_dead_lettered_total` by cause |
| Do our events reach Kafka? | `deja_outbox_oldest_age_seconds`, `deja_outbox_publish_errors_total` |
| Where does the time go? | `deja_handler_duration_seconds`, `deja_claim_duration_seconds` and `deja_commit_duration_seconds` against the end-to-end latency |
| Is it us or a dependency? | `deja_dependency_up`; `deja_attempts_total` by result |
| Do instances fight over lanes? | `deja_fenced_total`, `deja_rebalances_total`, `deja_stale_deliveries_total` |
| Did the database lose its tail? | `deja_lane_rewinds_total` |
| What runs where? | `deja_build_info`, `deja_lanes_owned` |

## The dedup hit ratio

The share of records that had been seen before. A redelivery of the same offset is no record of its own and stays out of it.

```promql
(
  sum by (group) (rate(deja_duplicates_total{cause=~"producer|replay"}[5m]))
  or
  0 * sum by (group) (rate(deja_records_total[5m]))
)
/
(sum by (group) (rate(deja_records_total{disposition=~"processed|duplicate"}[5m])) > 0)
```

It has no value while no records come. `examples/monitoring/deja.rules.yml` records it as `deja:dedup_hit_ratio:rate5m`.
)";

std::string_view kind_name(core::MetricKind kind) {
  switch (kind) {
    case core::MetricKind::counter: return "counter";
    case core::MetricKind::gauge: return "gauge";
    case core::MetricKind::histogram: return "histogram";
  }
  return "";
}

std::string label_list(std::string_view labels) {
  std::string text = "group";
  if (!labels.empty()) text += ',' + std::string(labels);
  for (std::size_t comma = 0; (comma = text.find(',', comma)) != std::string::npos; comma += 2) text.insert(comma + 1, 1, ' ');
  return text;
}

std::string table(std::span<const core::MetricRow> rows) {
  std::string text = "| name | kind | labels | meaning |\n|---|---|---|---|\n";
  for (const core::MetricRow& row : rows) {
    text += "| `" + std::string(row.name) + "` | " + std::string(kind_name(row.kind));
    if (!row.buckets.empty()) text += " (" + std::string(row.buckets) + ")";
    text += " | " + label_list(row.labels) + " | " + std::string(row.help) + " |\n";
  }
  return text;
}

std::string bucket_line(std::string_view name) {
  std::string text = "- " + std::string(name) + ':';
  std::string_view separator = " ";
  for (const double bound : histogram_buckets(name)) {
    std::array<char, 32> number{};
    std::snprintf(number.data(), number.size(), "%.10g", bound);
    text.append(separator).append(number.data());
    separator = ", ";
  }
  return text + '\n';
}

}  // namespace

std::string metrics_reference() {
  std::string page(introduction);
  page += "\n## All metrics\n\n" + table(core::metric_table());
  page += "\nUpper bounds of the buckets, in seconds or records:\n\n";
  for (const std::string_view name : {"latency", "age", "count"}) page += bucket_line(name);
  page += "\n## The process\n\nRead from the operating system at each scrape.\n\n" + table(process_metric_table());
  return page;
}

}  // namespace deja::ops
