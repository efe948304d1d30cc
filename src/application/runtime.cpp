#include <deja/runtime.h>

#include <deja/version.h>

#include "application/build_id.h"
#include "application/runtime_impl.h"
#include "postgres/connection.h"
#include "postgres/errors.h"
#include "postgres/migrations.h"

namespace deja {

namespace {
std::shared_ptr<const config::Config> load(const Options& options) {
  return std::make_shared<const config::Config>(
      config::Config::load({options.name, options.file, options.set, config::process_environment}));
}

ops::LogOptions log_options(const config::Config& config) {
  ops::LogOptions options;
  options.level = ops::parse_log_level(config.text("log.level")).value();
  options.format = ops::parse_log_format(config.text("log.format")).value();
  return options;
}

// group.id is sent to librdkafka by deja itself; client.id defaults to the application's name.
std::string client_id(const config::Config& config, const std::string& name) {
  for (const auto& [key, value] : config.kafka(config::Role::common))
    if (key == "client.id") return value;
  return name;
}
}  // namespace

Runtime::Impl::Impl(const Options& options, const std::string& program)
    : options_(options), config_(load(options)), settings_(config_, program), log_(log_options(*config_)), metrics_(config_->group_id()),
      instance_(instance_name()) {
  metrics_.gauge("deja_build_info", {version(), std::to_string(postgres::schema_version())}).set(1);
}

runtime::EngineOptions Runtime::Impl::engine_options() const {
  const auto& c = *config_;
  runtime::EngineOptions o;
  o.group = c.require("group.id");
  o.client_id = client_id(c, options_.name);
  o.keys = {c.dedup_scope(), c.text("key.secret"), c.text("tenant.header"),
            {c.text("keys.previous.scope"), c.text("keys.previous.secret"), c.text("keys.previous.tenant.header"), c.list("keys.previous.handler")}};
  o.dedup_window = c.duration("dedup.window.ms");
  o.abandon = options_.abandon;
  o.instance = instance_;
  o.build = executable_build();
  o.schema = c.text("postgres.schema");
  o.postgres_url = c.require("postgres.url");
  c.require("kafka.bootstrap.servers");
  o.consumer = c.kafka(config::Role::consumer);
  o.producer = c.kafka(config::Role::producer);
  o.start_from = c.text("start.from");
  o.dlq_topic = c.text("dlq.topic");
  o.dlq_headers_allow = c.list("dlq.headers.allow");
  o.dlq_headers_redact = c.list("dlq.headers.redact");
  o.quarantine_conflicts = c.text("dedup.conflict") == "quarantine";
  o.connections = static_cast<std::size_t>(c.integer("postgres.connections"));
  o.lanes_per_partition = static_cast<std::int32_t>(c.integer("lanes.per.partition"));
  o.batch_max_records = static_cast<std::size_t>(c.integer("batch.max.records"));
  o.batch_max_bytes = static_cast<std::size_t>(c.integer("batch.max.bytes"));
  o.postgres_lost = c.duration("postgres.lost.ms");
  o.drain_timeout = c.duration("drain.timeout.ms");
  o.startup_timeout = c.duration("startup.timeout.ms");
  o.crash_max_starts = static_cast<std::int32_t>(c.integer("crash.max.starts"));
  o.breaker = {static_cast<std::int32_t>(c.integer("breaker.failure.count")), c.duration("breaker.open.ms")};
  o.flood = {c.ratio("flood.ratio"), c.duration("flood.window.ms")};
  o.handler_timeout = c.duration("handler.timeout.ms");
  o.retry_max_attempts = static_cast<std::int32_t>(c.integer("retry.max.attempts"));
  o.retry_deadline = c.duration("retry.deadline.ms");
  o.park_max = static_cast<std::size_t>(c.integer("park.max.records"));
  o.park_key_max = static_cast<std::size_t>(c.integer("park.key.max.records"));
  o.retry_budget_ratio = c.ratio("retry.budget.ratio");
  o.park_or_die = c.text("park.policy") == "dead";
  o.hold = c.text("dlq.order") == "hold";
  o.backoff_base = c.duration("retry.backoff.base.ms");
  o.backoff_max = c.duration("retry.backoff.max.ms");
  return o;
}

void Runtime::Impl::start() {
  {
    const std::lock_guard lock(mutex_);
    engine_ = std::make_unique<runtime::Engine>(engine_options(), handlers_, log_, metrics_);
    if (stop_requested_) engine_->request_stop();
  }
  if (const auto& address = config_->text("http.address"); address != "off") {
    http_ = std::make_unique<ops::HttpServer>(
        address, ops::HttpHandlers{[this] { return metrics_.render(); }, [this] { return status(); },
                                   [this](std::string_view path, std::string_view what) {
                                     log_.error("an HTTP answer failed", {{"path", std::string(path)}, {"error", std::string(what)}});
                                   }});
    log_.info("serving metrics, health and status", {{"address", address.substr(0, address.rfind(':') + 1) + std::to_string(http_->port())},
                                                           {"port", std::int64_t{http_->port()}}});
  }
  engine_->start([this](std::chrono::milliseconds time) { return pause(time); });
}

bool Runtime::Impl::wait() {
  {
    std::unique_lock lock(mutex_);
    if (!engine_) return true;
  }
  const bool clean = engine_->wait();
  http_.reset();
  return clean;
}

void Runtime::Impl::request_stop() {
  const std::lock_guard lock(mutex_);
  stop_requested_ = true;
  stop_wanted_.notify_all();
  if (engine_) engine_->request_stop();
}

bool Runtime::Impl::pause(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  return !stop_wanted_.wait_for(lock, time, [this] { return stop_requested_; });
}

bool Runtime::Impl::handler_hangs() const { return engine_ && engine_->handler_hangs(); }

core::Status Runtime::Impl::status() const { return engine_->status(); }

void Runtime::Impl::run_sql(std::string_view sql) {
  postgres::ConnectionOptions options;
  options.url = config_->require("postgres.url");
  options.what = options_.name + " --init";
  try {
    postgres::Connection connection(options);
    connection.exec(std::string(sql));
  } catch (const Stop&) {
    throw;
  } catch (const std::exception& e) {
    const auto failure = postgres::classify(e);
    if (failure.kind == postgres::Failure::data || failure.kind == postgres::Failure::schema_mismatch)
      throw Stop(exit_code::configuration, "the program's own SQL (--init) failed: " + failure.message);
    throw postgres::stop_for(failure, false);
  }
}

Runtime::Runtime(const Options& options) : Runtime(options, {}) {}
Runtime::Runtime(const Options& options, const std::string& program) : impl_(std::make_unique<Impl>(options, program)) {}
Runtime::~Runtime() = default;
const Settings& Runtime::settings() const { return impl_->settings(); }
void Runtime::add(detail::HandlerSpec spec) { impl_->add(std::move(spec)); }
void Runtime::start() { impl_->start(); }
bool Runtime::wait() { return impl_->wait(); }
void Runtime::request_stop() { impl_->request_stop(); }
void Runtime::run_sql(std::string_view sql) { impl_->run_sql(sql); }

const char* version() { return DEJA_VERSION; }

}  // namespace deja
