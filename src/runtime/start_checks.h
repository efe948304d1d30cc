#pragma once

#include <functional>
#include <vector>

#include <deja/handler.h>

#include "core/log.h"
#include "kafka/consumer.h"
#include "postgres/connection.h"
#include "postgres/registry_store.h"
#include "runtime/engine.h"

// What must be right before the first record: each finding is a Stop with a named cause and what to do.

namespace deja::runtime {

/// Handlers without topics, two for one topic, two of one name.
void check_handlers(const std::vector<detail::HandlerSpec>& handlers);

/// Waits for Postgres within the start-up time; then checks schema, grants, recipes and lanes that nobody works any more.
void check_database(const EngineOptions& options, const postgres::ConnectionOptions& connection, const std::vector<detail::HandlerSpec>& handlers,
                    const postgres::RegistryStore& registry, core::Log& log, const Pause& pause);

/// Waits for Kafka and all topics of the handlers within the start-up time.
void check_topics(const EngineOptions& options, const std::vector<std::string>& topics, const kafka::Consumer& consumer, core::Log& log,
                  const Pause& pause);

}  // namespace deja::runtime
