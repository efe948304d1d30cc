#pragma once

#include <chrono>
#include <string>

#include "postgres/audit_log_store.h"
#include "postgres/breaker_store.h"
#include "postgres/budget_store.h"
#include "postgres/dead_letter_store.h"
#include "postgres/event_topic_store.h"
#include "postgres/flood_store.h"
#include "postgres/key_store.h"
#include "postgres/lane_store.h"
#include "postgres/outbox_store.h"
#include "postgres/parked_store.h"
#include "postgres/replay_store.h"
#include "postgres/stuck_store.h"

namespace deja::runtime {

/// deja's tables, as one process of a group uses them. Read-only, any thread.
struct Stores {
  Stores(const std::string& schema, const std::string& group, const std::string& instance, const std::string& build, std::chrono::milliseconds flood_window, std::int64_t most_replays_parked = 250)
      : lanes(schema, instance), keys(schema), outbox(schema), dead_letters(schema, group, build), audit_log(schema), event_topics(schema, group),
        breakers(schema, group, instance), parked(schema, group, build), budget(schema, group), floods(schema, group, instance, flood_window), replays(schema, group, most_replays_parked), stuck(schema) {}

  postgres::LaneStore lanes;
  postgres::KeyStore keys;
  postgres::OutboxStore outbox;
  postgres::DeadLetterStore dead_letters;
  postgres::AuditLogStore audit_log;
  postgres::EventTopicStore event_topics;
  postgres::BreakerStore breakers;
  postgres::ParkedStore parked;
  postgres::BudgetStore budget;
  postgres::FloodStore floods;
  postgres::ReplayStore replays;
  postgres::StuckStore stuck;
};

}  // namespace deja::runtime
