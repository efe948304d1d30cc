#pragma once

#include <string>

namespace deja::ops {

/// docs/metrics.md, from the tables of metrics. A test keeps the file and the tables together.
std::string metrics_reference();

}  // namespace deja::ops
