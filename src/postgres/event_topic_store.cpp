#include "postgres/event_topic_store.h"

#include "postgres/sql.h"

namespace deja::postgres {

EventTopicStore::EventTopicStore(const std::string& schema, std::string group)
    : insert_(with_schema("insert into {schema}.event_topics (group_id, topic) values (", schema)), group_(std::move(group)) {}

std::string EventTopicStore::insert_sql(const Connection& c, const std::vector<core::OutboundEvent>& events) const {
  if (events.empty()) return {};
  std::set<std::string> unknown;  // sorted: two batches take their rows in one order
  {
    const std::lock_guard lock(mutex_);
    for (const auto& event : events)
      if (!known_.contains(event.topic)) unknown.insert(event.topic);
  }
  std::string sql;
  for (const auto& topic : unknown) sql += insert_ + c.quote(group_) + "," + c.quote(topic) + ") on conflict do nothing;";
  return sql;
}

void EventTopicStore::committed(const std::vector<core::OutboundEvent>& events) const {
  if (events.empty()) return;
  const std::lock_guard lock(mutex_);
  for (const auto& event : events)
    if (!known_.contains(event.topic)) known_.insert(event.topic);
}

}  // namespace deja::postgres
