#include "ops/prometheus_metrics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "core/metric_table.h"
#include "ops/histogram_buckets.h"

namespace deja {
namespace {

using ops::PrometheusMetrics;

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

core::Labels some_labels(const core::MetricRow& row) {
  return core::Labels(row.labels.empty() ? 0 : static_cast<std::size_t>(std::ranges::count(row.labels, ',')) + 1, "x");
}

TEST(PrometheusMetrics, EverySeriesCarriesTheGroupBeforeItsOwnLabels) {
  PrometheusMetrics metrics("billing");
  metrics.counter("deja_records_total", {"payments", "settle", "processed"}).add(3);
  EXPECT_TRUE(
      contains(metrics.render(),
               "deja_records_total{group=\"billing\",topic=\"payments\",handler=\"settle\",disposition=\"processed\"} 3\n"));
}

TEST(PrometheusMetrics, EveryMetricOfTheTableCanBeResolvedAndRendered) {
  PrometheusMetrics metrics("g");
  for (const auto& row : core::metric_table()) {
    switch (row.kind) {
      case core::MetricKind::counter: metrics.counter(row.name, some_labels(row)).add(); break;
      case core::MetricKind::gauge: metrics.gauge(row.name, some_labels(row)).set(1); break;
      case core::MetricKind::histogram: metrics.histogram(row.name, some_labels(row)).observe(1); break;
    }
  }
  const auto text = metrics.render();
  for (const auto& row : core::metric_table()) EXPECT_TRUE(contains(text, "# TYPE " + std::string(row.name) + ' ')) << row.name;
}

TEST(PrometheusMetrics, TheTableKeepsPrometheusNamingRules) {
  std::set<std::string_view> names;
  for (const auto& row : core::metric_table()) {
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_EQ(row.name.ends_with("_total"), row.kind == core::MetricKind::counter) << row.name;
    EXPECT_EQ(row.buckets.empty(), row.kind != core::MetricKind::histogram) << row.name;
    EXPECT_FALSE(row.help.empty()) << row.name;
    EXPECT_FALSE(contains(std::string(row.labels), " ")) << row.name;
  }
}

TEST(PrometheusMetrics, BucketBoundsAscend) {
  for (const auto* name : {"latency", "age", "count"}) {
    EXPECT_TRUE(std::ranges::is_sorted(ops::histogram_buckets(name), std::less_equal{})) << name;
  }
  EXPECT_THROW(ops::histogram_buckets("weight"), std::logic_error);
}

TEST(PrometheusMetrics, AHistogramCountsAValueInEveryBucketThatHoldsIt) {
  PrometheusMetrics metrics("g");
  auto& batch = metrics.histogram("deja_batch_records", {"t", "h"});
  batch.observe(1);
  batch.observe(3);
  batch.observe(1e9);
  const auto text = metrics.render();
  EXPECT_TRUE(contains(text, "deja_batch_records_bucket{group=\"g\",topic=\"t\",handler=\"h\",le=\"1\"} 1\n"));
  EXPECT_TRUE(contains(text, "deja_batch_records_bucket{group=\"g\",topic=\"t\",handler=\"h\",le=\"2\"} 1\n"));
  EXPECT_TRUE(contains(text, "deja_batch_records_bucket{group=\"g\",topic=\"t\",handler=\"h\",le=\"5\"} 2\n"));
  EXPECT_TRUE(contains(text, "deja_batch_records_bucket{group=\"g\",topic=\"t\",handler=\"h\",le=\"+Inf\"} 3\n"));
  EXPECT_TRUE(contains(text, "deja_batch_records_count{group=\"g\",topic=\"t\",handler=\"h\"} 3\n"));
  EXPECT_TRUE(contains(text, "deja_batch_records_sum{group=\"g\",topic=\"t\",handler=\"h\"} 1000000004\n"));
}

TEST(PrometheusMetrics, ValuesThatWouldSpoilASeriesAreIgnored) {
  PrometheusMetrics metrics("g");
  auto& total = metrics.counter("deja_fenced_total", {"t"});
  total.add(2);
  total.add(-1);
  total.add(std::numeric_limits<double>::quiet_NaN());
  auto& latency = metrics.histogram("deja_handler_duration_seconds", {"t", "h"});
  latency.observe(std::numeric_limits<double>::quiet_NaN());
  latency.observe(-0.5);
  const auto text = metrics.render();
  EXPECT_TRUE(contains(text, "deja_fenced_total{group=\"g\",topic=\"t\"} 2\n"));
  EXPECT_TRUE(contains(text, "deja_handler_duration_seconds_count{group=\"g\",topic=\"t\",handler=\"h\"} 1\n"));
  EXPECT_TRUE(contains(text, "deja_handler_duration_seconds_sum{group=\"g\",topic=\"t\",handler=\"h\"} 0\n"));
}

TEST(PrometheusMetrics, TheSameLabelsGiveTheSameInstrument) {
  PrometheusMetrics metrics("g");
  auto& first = metrics.gauge("deja_lanes_owned", {"t"});
  EXPECT_EQ(&first, &metrics.gauge("deja_lanes_owned", {"t"}));
  EXPECT_NE(&first, &metrics.gauge("deja_lanes_owned", {"other"}));
}

TEST(PrometheusMetrics, AForgottenSeriesIsGoneButItsReferenceStaysUsable) {
  PrometheusMetrics metrics("g");
  auto& lag = metrics.gauge("deja_consumer_lag_records", {"t", "3"});
  lag.set(41);
  metrics.gauge("deja_consumer_lag_records", {"t", "4"}).set(7);
  metrics.forget("deja_consumer_lag_records", {"t", "3"});
  lag.set(42);
  const auto text = metrics.render();
  EXPECT_FALSE(contains(text, "partition=\"3\""));
  EXPECT_TRUE(contains(text, "deja_consumer_lag_records{group=\"g\",topic=\"t\",partition=\"4\"} 7\n"));
}

TEST(PrometheusMetrics, AForgottenGaugeComesBackFromZeroWhenItIsResolvedAgain) {
  PrometheusMetrics metrics("g");
  metrics.gauge("deja_consumer_lag_records", {"t", "3"}).set(41);
  metrics.forget("deja_consumer_lag_records", {"t", "3"});
  metrics.gauge("deja_consumer_lag_records", {"t", "3"});
  EXPECT_TRUE(contains(metrics.render(), "deja_consumer_lag_records{group=\"g\",topic=\"t\",partition=\"3\"} 0\n"));
}

TEST(PrometheusMetrics, ForgettingASeriesThatWasNeverSeenDoesNothing) {
  PrometheusMetrics metrics("g");
  metrics.forget("deja_consumer_lag_records", {"t", "3"});
  EXPECT_FALSE(contains(metrics.render(), "deja_consumer_lag_records"));
}

TEST(PrometheusMetrics, AWrongNameKindOrNumberOfLabelsIsALogicError) {
  PrometheusMetrics metrics("g");
  EXPECT_THROW(metrics.counter("deja_unheard_of_total", {}), std::logic_error);
  EXPECT_THROW(metrics.counter("deja_fenced_total", {}), std::logic_error);
  EXPECT_THROW(metrics.counter("deja_fenced_total", {"t", "h"}), std::logic_error);
  EXPECT_THROW(metrics.gauge("deja_fenced_total", {"t"}), std::logic_error);
  EXPECT_THROW(metrics.forget("deja_unheard_of_total", {}), std::logic_error);
}

TEST(PrometheusMetrics, LabelValuesCannotBreakTheScrape) {
  PrometheusMetrics metrics("g");
  metrics.gauge("deja_dependency_up", {"a\"b\\c\nd\xFF" + std::string(1, '\0') + "\xC3\xA9"}).set(1);
  metrics.gauge("deja_dependency_up", {std::string(5000, 'x')}).set(1);
  const auto text = metrics.render();
  EXPECT_TRUE(contains(text, R"(dependency="a\"b\\c?d??)"
                             "\xC3\xA9\"} 1\n"))
      << text;
  EXPECT_TRUE(contains(text, '"' + std::string(200, 'x') + "\"} 1\n"));
}

TEST(PrometheusMetrics, SeriesBeyondTheBoundShareOneNamedOther) {
  PrometheusMetrics metrics("g");
  for (std::size_t i = 0; i < PrometheusMetrics::max_series + 5; ++i) {
    metrics.counter("deja_commits_in_doubt_total", {std::to_string(i)}).add();
  }
  EXPECT_TRUE(contains(metrics.render(), "deja_commits_in_doubt_total{group=\"g\",resolution=\"other\"} 5\n"));
}

TEST(PrometheusMetrics, ConcurrentUseLosesNothing) {
  PrometheusMetrics metrics("g");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&metrics] {
      auto& total = metrics.counter("deja_fenced_total", {"t"});
      auto& batch = metrics.histogram("deja_batch_records", {"t", "h"});
      for (int n = 0; n < 10'000; ++n) {
        total.add();
        batch.observe(2);
        if (n % 2'000 == 0) metrics.render();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  const auto text = metrics.render();
  EXPECT_TRUE(contains(text, "deja_fenced_total{group=\"g\",topic=\"t\"} 40000\n"));
  EXPECT_TRUE(contains(text, "deja_batch_records_count{group=\"g\",topic=\"t\",handler=\"h\"} 40000\n"));
  EXPECT_TRUE(contains(text, "deja_batch_records_sum{group=\"g\",topic=\"t\",handler=\"h\"} 80000\n"));
}

TEST(PrometheusMetrics, TheProcessIsMeasuredAtTheScrape) {
  const auto text = PrometheusMetrics("g").render();
  for (const auto* name : {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_virtual_memory_bytes",
                           "process_open_fds", "process_start_time_seconds", "process_threads"}) {
    EXPECT_TRUE(contains(text, std::string(name) + "{group=\"g\"} ")) << name;
  }
}

}  // namespace
}  // namespace deja
