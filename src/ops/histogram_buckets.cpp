#include "ops/histogram_buckets.h"

#include <stdexcept>
#include <string>

namespace deja::ops {
namespace {

// From a fast commit to a record that waited out an outage.
constexpr double latency[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800};
// From a producer's own retry to the end of the default window of 21 days.
constexpr double age[] = {0.1, 1, 10, 60, 600, 3600, 21600, 86400, 259200, 604800, 1209600, 1814400};
constexpr double count[] = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000};

}  // namespace

std::span<const double> histogram_buckets(std::string_view name) {
  if (name == "latency") return latency;
  if (name == "age") return age;
  if (name == "count") return count;
  throw std::logic_error("no histogram buckets named '" + std::string(name) + "'");
}

}  // namespace deja::ops
