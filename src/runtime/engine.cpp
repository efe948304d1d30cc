#include "runtime/engine.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <map>
#include <set>

#include "postgres/link_watch.h"
#include "runtime/intake.h"
#include "runtime/relay.h"
#include "runtime/scheduler.h"
#include "runtime/start_checks.h"
#include "runtime/supervisor.h"
#include "runtime/worker.h"

namespace deja::runtime {

using std::chrono::milliseconds;

namespace {
postgres::ConnectionOptions connection_options(const EngineOptions& o) {
  postgres::ConnectionOptions c;
  c.url = o.postgres_url;
  c.what = o.group;
  c.read_only = true;  // a transaction block that a handler lost must not go on writing by itself
  c.connect_timeout = std::min<milliseconds>(milliseconds(10000), o.postgres_lost);
  c.lost_after = o.postgres_lost;
  // a handler that keeps to its time never loses its session; one that does not, loses its lane
  c.idle_in_transaction_timeout = o.handler_timeout + milliseconds(10000);
  c.lock_timeout = milliseconds(10000);
  return c;
}

postgres::ConnectionOptions watched(postgres::ConnectionOptions options, postgres::LinkWatch& watch) {
  options.watch = &watch;
  return options;
}

// Well above any restart of Postgres, which is no reason to leave; in proportion, for who wants to know sooner wants to act sooner.
constexpr int leave_after_lost = 15;

// The settings come checked by librdkafka when the producer is made.
std::size_t max_event_bytes(const EngineOptions::Settings& producer) {
  std::size_t bytes = 1'000'000;
  for (const auto& [key, value] : producer)
    if (key == "message.max.bytes") bytes = static_cast<std::size_t>(std::strtoull(value.c_str(), nullptr, 10));
  return bytes;
}
}  // namespace

class Engine::Impl {
 public:
  Impl(EngineOptions options, std::vector<detail::HandlerSpec> handlers, core::Log& log, core::Metrics& metrics)
      : options_(std::move(options)), handlers_(std::move(handlers)), log_(log), metrics_(metrics), dependencies_(log, metrics),
        watchdog_(options_.handler_timeout, clock_, [this](std::string cause) { stop_with(Stop(exit_code::defect, cause)); }),
        breakers_(options_.breaker, log_, metrics_), budgets_({options_.retry_budget_ratio}, metrics_),
        floods_(options_.flood, options_.breaker.open_for, clock_, log_, metrics_), registry_(options_.schema, options_.group),
        watch_(connection_options(options_), [this](const std::string& what) { log_.warn("a link to Postgres is given up", {{"cause", what}}); }),
        context_{log, metrics, clock_,
                 {options_.keys.scope, options_.dlq_topic, options_.quarantine_conflicts, options_.dlq_headers_allow, options_.dlq_headers_redact, options_.group,
                  options_.handler_timeout, max_event_bytes(options_.producer),
                  {options_.retry_max_attempts, {options_.backoff_base, options_.backoff_max}, options_.retry_deadline}, options_.park_max, options_.park_key_max,
                  options_.park_or_die, options_.hold},
                 {options_.schema, options_.group, options_.instance, options_.build, options_.flood.window, static_cast<std::int64_t>(std::min(options_.park_max, options_.park_key_max) / 2)},
                 dependencies_, watched(connection_options(options_), watch_), options_.schema, options_.keys, options_.start_from,
                 options_.lanes_per_partition, options_.batch_max_records, options_.batch_max_bytes, core::of_outages({options_.backoff_base, options_.backoff_max}),
                 options_.crash_max_starts, alone_, watchdog_, breakers_, budgets_, floods_, handlers_,
                 [this](Stop stop) { stop_with(std::move(stop)); }} {}

  ~Impl() { halt(); }

  void start(const Pause& pause) {
    check_handlers(handlers_);
    check_previous_handlers(handlers_, options_.keys);
    for (const auto& handler : handlers_) floods_.add(handler.name);
    // early: the idempotent producer takes a moment to get its id from a broker
    relay_ = std::make_unique<Relay>(options_.producer, options_.client_id, context_.backoff, log_);
    check_database(options_, context_.connection, handlers_, registry_, log_, pause);
    dependencies_.up("postgres");
    std::vector<std::string> topics;
    std::vector<std::pair<std::string, std::string>> topics_and_handlers;
    for (const auto& handler : handlers_)
      for (const auto& topic : handler.topics) {
        topics.push_back(topic);
        topics_and_handlers.emplace_back(topic, handler.name);
        by_topic_.emplace(topic, &handler);
        lane_metrics_.emplace(topic, std::make_shared<LaneMetrics>(metrics_, topic, handler.name));
      }
    intake_ = std::make_unique<Intake>(context_, Intake::Options{options_.group, options_.client_id, options_.consumer, topics, options_.drain_timeout,
                                                                         options_.postgres_lost * leave_after_lost},
                                       Intake::Lanes{[this](const auto& p, auto a) { return make_seat(p, a); },
                                                     [this](const auto& lane) { scheduler_.wake(lane); }});
    check_topics(options_, topics, intake_->consumer(), log_, pause);
    dependencies_.up("kafka");
    std::vector<postgres::Registration> registrations;
    for (const auto& h : handlers_) registrations.push_back({key_sources(h, options_.keys).now.recipe(), options_.instance, options_.build, h.topics});
    supervisor_ = std::make_unique<Supervisor>(context_, *intake_, registry_, options_.instance, topics_and_handlers, registrations);
    show_zeros(topics);
    relay_->start();
    scheduler_.start(options_.connections, [this] { return std::make_unique<Worker>(context_); });
    supervisor_->start();
    watchdog_.start();
    intake_->start();
    set_state("running");
    built_ = true;
    if (stop_requested_) request_stop();  // it came while all this was being made
    log_.info("running", {{"group", options_.group}, {"instance", options_.instance}});
  }

  void request_stop() {
    stop_requested_ = true;
    if (!built_) return;  // start() looks at its end
    set_state("draining");
    intake_->request_stop();
  }

  bool wait() {
    if (!intake_) return true;
    const bool clean = intake_->join();
    hangs_ = !scheduler_.stop(core::Steady::now() + milliseconds(1000));
    if (!hangs_) halt();
    set_state("stopped");
    const std::lock_guard lock(mutex_);
    if (stop_) throw *stop_;
    return clean;
  }

  bool handler_hangs() const { return hangs_; }

  core::Status status() const {
    core::Status s;
    s.group = options_.group;
    s.instance = options_.instance;
    s.dependencies = dependencies_.all();
    s.breakers = breakers_.all();
    s.floods = floods_.all();
    s.budgets = budgets_.all();
    {
      const std::lock_guard lock(mutex_);
      s.state = state_;
      if (stop_) s.not_ready.push_back(std::string("stopping: ") + stop_->what());
      s.live = !stop_;
    }
    if (s.state != "running") s.not_ready.push_back("the program is " + s.state);
    for (const auto& d : s.dependencies)
      if (!d.up) s.not_ready.push_back(d.name + " is away: " + d.cause);
    if (!built_) return s;
    if (const auto trouble = relay_->trouble(); !trouble.empty()) s.dependencies.push_back({"outbox", false, trouble});
    for (const auto& lane : intake_->lanes()) {
      auto l = lane->status();
      l.log_end_offset = intake_->watermarks_seen({l.topic, l.partition}).high;
      s.lanes.push_back(std::move(l));
      for (auto& d : lane->recent_duplicates()) s.last_duplicates.push_back(std::move(d));
    }
    if (s.last_duplicates.size() > 20) s.last_duplicates.resize(20);
    return s;
  }

 private:
  // A counter that is not there before its first event hides that event from increase().
  void show_zeros(const std::vector<std::string>& topics) {
    for (const auto* resolution : {"committed", "not_committed", "fenced"}) metrics_.counter("deja_commits_in_doubt_total", {resolution});
    for (const auto* cause : {"handler_error", "commit_error", "40001", "40P01", "55P03"}) metrics_.counter("deja_batch_repeats_total", {cause});
    for (const auto& topic : topics) {
      metrics_.counter("deja_offset_commit_errors_total", {topic});
      metrics_.counter("deja_lane_rewinds_total", {topic});
      metrics_.counter("deja_rebalances_total", {topic});
    }
  }

  Seat make_seat(const kafka::Partition& partition, std::uint64_t assignment) {
    Seat seat;
    seat.spec = by_topic_.at(partition.topic);
    seat.metrics = lane_metrics_.at(partition.topic);
    seat.feed = std::make_shared<PartitionFeed>();
    for (std::int32_t n = 0; n < options_.lanes_per_partition; ++n)
      seat.lanes.push_back({std::make_shared<Lane>(context_, *intake_, *relay_, scheduler_, *seat.spec, partition, n, assignment, seat.metrics, seat.feed), -1, false, {}});
    return seat;
  }

  void stop_with(Stop stop) {
    {
      const std::lock_guard lock(mutex_);
      if (stop_) return;
      log_.error("stopping", {{"cause", std::string(stop.what())}, {"exit_code", std::int64_t{stop.exit_code()}}});
      stop_ = std::move(stop);
    }
    stop_requested_ = true;  // before the look at built_, as in request_stop(): start() looks the other way round
    if (built_) intake_->request_stop();
  }

  // Whatever runs, ends: first who makes work, then who does it.
  void halt() {
    if (intake_) {
      intake_->request_stop();
      intake_->join();
    }
    watchdog_.stop();
    if (supervisor_) supervisor_->stop();
    scheduler_.stop();
    if (relay_) relay_->stop();
  }

  void set_state(const char* state) {
    const std::lock_guard lock(mutex_);
    state_ = state;
  }

  const EngineOptions options_;
  const std::vector<detail::HandlerSpec> handlers_;
  core::Log& log_;
  core::Metrics& metrics_;
  core::SteadyClock clock_;
  Dependencies dependencies_;
  Alone alone_;
  Watchdog watchdog_;
  Breakers breakers_;
  Budgets budgets_;
  Floods floods_;
  postgres::RegistryStore registry_;
  postgres::LinkWatch watch_;
  Context context_;
  std::map<std::string, const detail::HandlerSpec*> by_topic_;
  std::map<std::string, std::shared_ptr<LaneMetrics>> lane_metrics_;
  mutable std::mutex mutex_;
  std::string state_ = "starting";
  std::atomic<bool> built_{false}, hangs_{false}, stop_requested_{false};
  std::optional<Stop> stop_;
  std::unique_ptr<Relay> relay_;
  Scheduler scheduler_;
  std::unique_ptr<Intake> intake_;
  std::unique_ptr<Supervisor> supervisor_;
};

Engine::Engine(EngineOptions options, std::vector<detail::HandlerSpec> handlers, core::Log& log, core::Metrics& metrics)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(handlers), log, metrics)) {}
Engine::~Engine() = default;
void Engine::start(const Pause& pause) { impl_->start(pause); }
void Engine::request_stop() { impl_->request_stop(); }
bool Engine::wait() { return impl_->wait(); }
bool Engine::handler_hangs() const { return impl_->handler_hangs(); }
core::Status Engine::status() const { return impl_->status(); }

}  // namespace deja::runtime
