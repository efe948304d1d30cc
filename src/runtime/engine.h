#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <deja/errors.h>
#include <deja/handler.h>

#include "core/breaker.h"
#include "core/flood_guard.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/status.h"
#include "runtime/key_source.h"

namespace deja::runtime {

/// What the engine needs of the configuration.
struct EngineOptions {
  using Settings = std::vector<std::pair<std::string, std::string>>;
  std::string group, client_id, instance, build, schema;
  KeySettings keys;
  std::string postgres_url;
  Settings consumer, producer;
  std::string start_from, dlq_topic;
  std::vector<std::string> dlq_headers_allow, dlq_headers_redact;
  bool quarantine_conflicts = true;
  std::int32_t lanes_per_partition = 1;
  std::size_t connections = 2, batch_max_records = 500, batch_max_bytes = 8U << 20;
  bool abandon = false;  // start although lanes that nobody works any more hold unpublished events
  std::chrono::milliseconds dedup_window{21LL * 86'400'000};
  std::int32_t crash_max_starts = 3;
  core::BreakerPolicy breaker;
  core::FloodPolicy flood;
  std::chrono::milliseconds postgres_lost{10000}, drain_timeout{30000}, startup_timeout{60000}, handler_timeout{60000}, backoff_base{200}, backoff_max{60000}, retry_deadline{3'600'000};
  std::int32_t retry_max_attempts = 5;
  std::size_t park_max = 10'000, park_key_max = 1'000;
  bool park_or_die = false;
  bool hold = false;
  double retry_budget_ratio = 0.1;
};

/// Waits so long and returns true, or returns false as soon as the program is asked to stop.
using Pause = std::function<bool(std::chrono::milliseconds)>;

/// Intake, lanes, workers, relay and supervisor of one process.
///
/// Threading: start(), wait() and destruction from one thread; request_stop() and status() from any.
class Engine {
 public:
  Engine(EngineOptions options, std::vector<detail::HandlerSpec> handlers, core::Log& log, core::Metrics& metrics);
  ~Engine();

  /// Checks everything that can be checked, then starts. Throws Stop with the named cause.
  void start(const Pause& pause);
  void request_stop();
  /// Until the end. False: the drain was cut short. Throws the Stop that ended it.
  bool wait();
  /// After wait(): a handler did not come back within the drain time-out. The destructor waits for it; a process may exit instead,
  /// what was not committed is rolled back.
  bool handler_hangs() const;
  core::Status status() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace deja::runtime
