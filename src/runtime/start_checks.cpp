#include "runtime/start_checks.h"

#include <algorithm>
#include <map>
#include <set>

#include "core/clock.h"
#include "failpoints/failpoint.h"
#include "postgres/abandoned_lanes.h"
#include "postgres/errors.h"
#include "postgres/inspection.h"
#include "postgres/migrations.h"
#include "runtime/key_source.h"

namespace deja::runtime {

using std::chrono::milliseconds;

namespace {
constexpr milliseconds look_again_after{250};

std::string joined(const std::vector<std::string>& items) {
  std::string text;
  for (const auto& item : items) text += (text.empty() ? "" : ", ") + item;
  return text;
}

/// Calls `attempt` until it is done (empty text) or the start-up time is over.
void wait_for(milliseconds limit, const Pause& pause, core::Log& log, const std::string& what,
              const std::function<std::string()>& attempt) {
  const auto end = core::Steady::now() + limit;
  std::string told;
  for (;;) {
    const auto trouble = attempt();
    if (trouble.empty()) return;
    if (core::Steady::now() >= end)
      throw Stop(exit_code::unavailable, what + " stayed away longer than startup.timeout.ms (" + std::to_string(limit.count()) + "): " + trouble);
    if (trouble != told) log.warn("waiting at start", {{"for", what}, {"cause", trouble}});
    told = trouble;
    if (!pause(look_again_after)) throw Stop(exit_code::clean, "stopped while waiting for " + what);
  }
}

void check_recipes(postgres::Connection& c, const EngineOptions& options, const std::vector<detail::HandlerSpec>& handlers,
                   const postgres::RegistryStore& registry) {
  std::map<std::string, core::KeyRecipes> declared;
  for (const auto& handler : handlers)
    for (const auto& topic : handler.topics) declared.emplace(topic, key_sources(handler, options.keys).recipes());
  const auto refusal = registry.agree_on_recipes(c, declared, options.dedup_window);
  DEJA_FAILPOINT(after_recipe);
  if (refusal)
    throw Stop(exit_code::configuration,
               "the recipe of idempotency keys changed for topic " + refusal->topic + " in group " + options.group + ": " + refusal->why);
}

// L11. What another program of the group is there for may only be down: it is told and holds up nobody, or two programs that died
// together would each wait for the other.
void check_abandoned_lanes(postgres::Connection& c, const EngineOptions& options, const std::vector<detail::HandlerSpec>& handlers, core::Log& log) {
  std::vector<std::string> topics, names;
  for (const auto& handler : handlers) {
    names.push_back(handler.name);
    topics.insert(topics.end(), handler.topics.begin(), handler.topics.end());
  }
  const postgres::AbandonedLanes abandoned(options.schema, options.group);
  std::vector<postgres::AbandonedLane> nobodys, others;
  for (auto& lane : abandoned.find(c, topics, names)) (lane.other_program ? others : nobodys).push_back(std::move(lane));
  if (!others.empty())
    log.warn("events wait in lanes of a program of this group that does not run", {{"lanes", postgres::in_words(others)}});
  if (nobodys.empty()) return;
  if (!options.abandon)
    throw Stop(exit_code::configuration, "no program handles these lanes of group " + options.group + " any more, and they hold events that are not published, or parked records: " +
                                             postgres::in_words(nobodys) +
                                             "; handle the topic again until they are, or start once with --abandon to leave them in the database");
  abandoned.accept(c, nobodys, "--abandon at start of " + options.instance);
  log.warn("lanes that nobody works any more are left as they are (--abandon)", {{"lanes", postgres::in_words(nobodys)}});
}
}  // namespace

void check_handlers(const std::vector<detail::HandlerSpec>& handlers) {
  if (handlers.empty()) throw Stop(exit_code::configuration, "the program has no handler: register one with handle<YourHandler>(\"topic\")");
  std::map<std::string, std::string> by_topic;
  std::set<std::string> names;
  for (const auto& handler : handlers) {
    if (!names.insert(handler.name).second)
      throw Stop(exit_code::configuration, "two handlers are named " + handler.name + ": the name is part of every key, give each its own");
    if (handler.topics.empty()) throw Stop(exit_code::configuration, "handler " + handler.name + " has no topic: name at least one");
    for (const auto& topic : handler.topics) {
      if (topic.empty()) throw Stop(exit_code::configuration, "handler " + handler.name + " has a topic with an empty name");
      const auto [other, is_new] = by_topic.emplace(topic, handler.name);
      if (!is_new)
        throw Stop(exit_code::configuration, other->second == handler.name
                       ? "handler " + handler.name + " names topic " + topic + " twice"
                       : "two handlers for topic " + topic + ": " + other->second + " and " + handler.name +
                             "; a record has one effect, so call one from the other or give one another group.id");
    }
  }
}

void check_database(const EngineOptions& options, const postgres::ConnectionOptions& connection, const std::vector<detail::HandlerSpec>& handlers,
                    const postgres::RegistryStore& registry, core::Log& log, const Pause& pause) {
  wait_for(options.startup_timeout, pause, log, "Postgres", [&]() -> std::string {
    try {
      postgres::Connection c(connection);
      postgres::check_schema(c, options.schema);
      DEJA_FAILPOINT(after_schema_check);
      if (const auto missing = postgres::missing_rights(c, options.schema); !missing.empty())
        throw Stop(exit_code::no_permission, "the role of postgres.url lacks rights: " + joined(missing) + "; an administrator grants them with schemas/roles/consumer.sql");
      DEJA_FAILPOINT(after_rights_check);
      if (postgres::behind_transaction_pooler(c))
        throw Stop(exit_code::configuration, "postgres.url leads to a transaction pooler: deja needs sessions of its own, connect to Postgres itself or use session pooling");
      DEJA_FAILPOINT(after_pooler_check);
      check_recipes(c, options, handlers, registry);
      check_abandoned_lanes(c, options, handlers, log);
      return {};
    } catch (const Stop& stop) {
      if (stop.exit_code() == exit_code::try_again) return stop.what();  // the link broke midway: that is what the time is for
      throw;
    } catch (const std::exception& e) {
      const auto failure = postgres::classify(e);
      switch (failure.kind) {
        case postgres::Failure::lost_connection:
        case postgres::Failure::unavailable:
        case postgres::Failure::repeat:
        case postgres::Failure::standby:
          return failure.message;
        default:
          throw postgres::stop_for(failure, false);
      }
    }
  });
}

void check_topics(const EngineOptions& options, const std::vector<std::string>& topics, const kafka::Consumer& consumer, core::Log& log,
                  const Pause& pause) {
  wait_for(options.startup_timeout, pause, log, "Kafka", [&]() -> std::string {
    if (!consumer.reachable(milliseconds(3000))) return "no broker answers (kafka.bootstrap.servers)";
    DEJA_FAILPOINT(after_kafka_reached);
    std::vector<std::string> unknown;
    for (const auto& topic : topics) {
      const auto partitions = consumer.partition_count(topic, milliseconds(5000));
      DEJA_FAILPOINT(after_topic_look);
      if (!partitions) return "no answer about topic " + topic;
      if (*partitions == 0) unknown.push_back(topic);
    }
    return unknown.empty() ? "" : "unknown topic " + joined(unknown) + ": create it, or correct its name";
  });
}

}  // namespace deja::runtime
