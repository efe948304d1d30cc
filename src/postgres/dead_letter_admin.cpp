#include "postgres/dead_letter_admin.h"

#include "core/dead_letter_notice.h"
#include "postgres/arrays.h"
#include "postgres/columns.h"
#include "postgres/lane_change.h"
#include "postgres/operator_events.h"
#include "postgres/parked_heads.h"
#include "postgres/sql.h"
#include "postgres/transaction_control.h"

namespace deja::postgres {

struct DeadLetterAdmin::Changed {
  std::vector<std::int64_t> ids, orderings;
  std::vector<KeyClaim> keys;  // of every letter: several may have one key, and any of them the row
};

DeadLetterAdmin::DeadLetterAdmin(Connection& connection, std::string schema) : connection_(connection), schema_(std::move(schema)), keys_(schema_) {}

std::int64_t DeadLetterAdmin::begin_action(const std::string& group, const std::string& kind, const std::string& reason, std::int64_t matched) {
  return in_transaction(connection_, [&] {
    return connection_.exec_params(with_schema("insert into {schema}.dlq_actions (group_id, kind, reason, matched, state) values ($1, $2, $3, $4::bigint, 'running') returning id", schema_),
                                   {group, kind, reason, std::to_string(matched)})
        .at(0)[0]
        .as<std::int64_t>();
  });
}

void DeadLetterAdmin::finish(std::int64_t action, std::int64_t refused, const char* state, const std::optional<std::string>& cause) {
  in_transaction(connection_, [&] {
    connection_.exec_params(with_schema("update {schema}.dlq_actions set refused = $2::bigint, state = $3, state_cause = $4, finished_at = clock_timestamp() where id = $1::bigint", schema_),
                            {std::to_string(action), std::to_string(refused), state, cause});
  });
}

void DeadLetterAdmin::end_action(std::int64_t action, std::int64_t refused) { finish(action, refused, "done", std::nullopt); }

void DeadLetterAdmin::stop_action(std::int64_t action, std::int64_t refused, const std::string& cause) noexcept {
  try {
    finish(action, refused, "stopped", cause);
  } catch (const std::exception&) {  // the caller has a cause to tell already
  }
}

// Their status, and the events that tell the dead-letter topic of it.
DeadLetterAdmin::Changed DeadLetterAdmin::change(std::int32_t lane_id, const std::vector<std::int64_t>& ids, std::int64_t action, const std::string& from, const std::string& to) {
  lock_lane(connection_, schema_, lane_id);
  Changed changed;
  std::vector<core::OutboundEvent> events;
  core::FramedHash hash;
  for (const auto& row : connection_.exec_params(
           with_schema("update {schema}.dead_letters set status = $5, action_id = $3::bigint where lane = $1::int and id = any($2::bigint[]) and status = $4 "
                       "returning id, ordering, coalesce(digest, 0), \"offset\", key, previous_key, group_id, topic, partition, replays, record_key, event_topic", schema_),
           {std::to_string(lane_id), array_text(ids), std::to_string(action), from, to})) {
    Columns c(row);
    const auto id = c.number();
    changed.ids.push_back(id);
    if (const auto ordering = c.maybe_number()) changed.orderings.push_back(*ordering);
    const auto digest = c.number(), offset = c.number();
    for (int recipe = 0; recipe < 2; ++recipe) {
      const auto key = c.maybe_text();
      if (!key) continue;
      changed.keys.push_back({core::parse_uuid(*key).value(), digest, offset});
    }
    const auto group = c.text();
    const auto topic = c.text();
    const auto source = topic + "/" + std::to_string(c.number()) + "/" + std::to_string(offset);
    const auto replays = c.number();
    const auto record_key = c.maybe_bytes();
    if (const auto event_topic = c.maybe_text()) events.push_back(core::notice_event({id, action, replays, *event_topic, to, {}}, group, record_key, source, hash));
  }
  if (changed.ids.empty()) return changed;
  add_operator_events(connection_, schema_, lane_id, events);
  connection_.exec_params(with_schema("update {schema}.dlq_actions set accepted = accepted + $2::bigint where id = $1::bigint", schema_),
                          {std::to_string(action), std::to_string(changed.ids.size())});
  raise_parked_version(connection_, schema_, lane_id);
  return changed;
}

std::vector<std::int64_t> DeadLetterAdmin::discard(std::int32_t lane_id, const std::vector<std::int64_t>& ids, std::int64_t action) {
  auto changed = change(lane_id, ids, action, "open", "discarded");
  if (!changed.keys.empty()) keys_.claim(connection_, changed.keys, lane_id);
  if (!changed.orderings.empty()) connection_.exec_params(mark_heads_sql(schema_), {std::to_string(lane_id), array_text(changed.orderings)});
  return changed.ids;
}

std::vector<std::int64_t> DeadLetterAdmin::restore(std::int32_t lane_id, const std::vector<std::int64_t>& ids, std::int64_t action) {
  auto changed = change(lane_id, ids, action, "discarded", "open");
  if (!changed.keys.empty()) keys_.release_of(connection_, changed.keys, lane_id);
  if (!changed.orderings.empty()) connection_.exec_params(unmark_held_sql(schema_), {std::to_string(lane_id)});
  return changed.ids;
}

bool DeadLetterAdmin::edit(std::int64_t id, const Content& before, const Content& after, std::int64_t action) {
  const auto bytes = [](const std::optional<std::string>& value) { return value ? std::optional(bytea_text(*value)) : std::nullopt; };
  const auto number = std::to_string(id), of = std::to_string(action);
  if (connection_.exec_params(with_schema("select 1 from {schema}.dead_letters where id = $1::bigint and status = 'open' and value is not distinct from $2::bytea and headers::text = $3 for update", schema_),
                              {number, bytes(before.value), before.headers})
          .empty())
    return false;
  connection_.exec_params(with_schema("insert into {schema}.dlq_edits (dead_letter, action_id, value, headers) select id, $2::bigint, value, headers from {schema}.dead_letters where id = $1::bigint", schema_), {number, of});
  connection_.exec_params(with_schema("update {schema}.dead_letters set value = $2::bytea, headers = $3::json, edited = true, action_id = $4::bigint, "
                                      "size = coalesce(length(record_key), 0) + coalesce(length($2::bytea), 0) where id = $1::bigint", schema_),
                          {number, bytes(after.value), after.headers, of});
  connection_.exec_params(with_schema("update {schema}.dlq_actions set accepted = 1, state = 'done', finished_at = clock_timestamp() where id = $1::bigint", schema_), {of});
  return true;
}

}  // namespace deja::postgres
