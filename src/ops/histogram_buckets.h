#pragma once

#include <span>
#include <string_view>

namespace deja::ops {

/// Upper bounds, ascending and without +Inf, of the named bucket set ("latency", "age", "count"). Throws std::logic_error for
/// another name.
std::span<const double> histogram_buckets(std::string_view name);

}  // namespace deja::ops
