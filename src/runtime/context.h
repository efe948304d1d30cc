#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <deja/handler.h>

#include "core/backoff.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/random.h"
#include "postgres/connection.h"
#include "runtime/alone.h"
#include "runtime/batch.h"
#include "runtime/breakers.h"
#include "runtime/budgets.h"
#include "runtime/dependencies.h"
#include "runtime/floods.h"
#include "runtime/key_source.h"
#include "runtime/watchdog.h"

namespace deja::runtime {

/// What everything in a running process shares. Read-only, but for the members that lock for themselves.
struct Context {
  core::Log& log;
  core::Metrics& metrics;
  const core::Clock& clock;
  BatchSettings batch;
  Stores stores;
  Dependencies& dependencies;
  postgres::ConnectionOptions connection;
  std::string schema;
  KeySettings keys;
  std::string start_from;
  std::int32_t lanes_per_partition = 1;
  std::size_t batch_max_records = 500, batch_max_bytes = 8U << 20;
  core::BackoffPolicy backoff;  // of outages
  std::int32_t crash_max_starts = 3;
  Alone& alone;
  Watchdog& watchdog;
  Breakers& breakers;
  Budgets& budgets;
  Floods& floods;
  const std::vector<detail::HandlerSpec>& handlers;
  std::function<void(Stop)> stop;  // ends the process with a named cause; the first one counts
};

}  // namespace deja::runtime
