#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <deja/runtime.h>

#include "config/config.h"
#include "ops/http_server.h"
#include "ops/log.h"
#include "ops/prometheus_metrics.h"
#include "runtime/engine.h"

namespace deja {

/// Of PROGRAM --audit.
struct AuditOptions {
  std::optional<std::string> topic;
  std::optional<std::int64_t> from, to;
  std::string output = "table";
};

class Runtime::Impl {
 public:
  Impl(const Options& options, const std::string& program);

  void add(detail::HandlerSpec spec) { handlers_.push_back(std::move(spec)); }
  const Settings& settings() const { return settings_; }
  const config::Config& config() const { return *config_; }
  core::Log& log() { return log_; }

  void start();
  bool wait();
  void request_stop();
  bool handler_hangs() const;
  void run_sql(std::string_view sql);
  /// With the handlers' own functions. Returns the exit code.
  int audit(const AuditOptions& options) const;

 private:
  runtime::EngineOptions engine_options() const;
  core::Status status() const;
  bool pause(std::chrono::milliseconds time);

  const Options options_;
  std::shared_ptr<const config::Config> config_;
  Settings settings_;
  ops::StructuredLog log_;
  ops::PrometheusMetrics metrics_;
  std::vector<detail::HandlerSpec> handlers_;
  const std::string instance_;

  mutable std::mutex mutex_;
  std::condition_variable stop_wanted_;
  bool stop_requested_ = false;
  std::unique_ptr<runtime::Engine> engine_;
  std::unique_ptr<ops::HttpServer> http_;
};

}  // namespace deja
