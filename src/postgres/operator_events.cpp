#include "postgres/operator_events.h"

#include "postgres/outbox_store.h"
#include "postgres/sql.h"

namespace deja::postgres {

void add_operator_events(Connection& c, const std::string& schema, std::int32_t lane_id, const std::vector<core::OutboundEvent>& events) {
  if (events.empty()) return;
  const auto lane = std::to_string(lane_id);
  const auto now = c.exec(with_schema("select next_event_seq, (select open_segment from {schema}.outbox_state) from {schema}.lanes where id = " + lane + " and lane < lane_count", schema));
  if (now.empty()) return;
  c.exec(OutboxStore(schema).insert_sql(c, now[0][1].as<int>(), lane_id, now[0][0].as<std::int64_t>(), events) +
         with_schema("update {schema}.lanes set next_event_seq = next_event_seq + " + std::to_string(events.size()) + " where id = " + lane, schema));
}

}  // namespace deja::postgres
