#pragma once

#include <string>

#include "core/status.h"

namespace deja::ops {

/// The body of /status: the fields of core::Status under their own names, durations in seconds. What is not known or does not
/// apply (an offset of -1, no cause) is null. Bytes that are no UTF-8 are replaced, never an error.
std::string status_json(const core::Status& status);

/// The body of /health/ready: {"ready": bool, "causes": [..]}.
std::string readiness_json(const core::Status& status);

/// The body of /health/live: {"live": bool}.
std::string liveness_json(const core::Status& status);

}  // namespace deja::ops
