#include "postgres/dead_letter_import.h"

#include "postgres/columns.h"
#include "postgres/lane_change.h"
#include "postgres/ordering_column.h"
#include "postgres/parked_heads.h"
#include "postgres/recipe_columns.h"
#include "postgres/sql.h"
#include "postgres/values.h"

namespace deja::postgres {

namespace {
std::string recipes_of_r() {
  std::string columns = recipe_columns, qualified = "r.";
  for (const char c : columns) {
    qualified += c;
    if (c == ' ') qualified += "r.";
  }
  return qualified;
}
}  // namespace

DeadLetterImport::DeadLetterImport(Connection& connection, std::string schema, std::string group) : connection_(connection), schema_(std::move(schema)), group_(std::move(group)) {}

std::optional<ImportTarget> DeadLetterImport::target(const std::string& topic, std::int32_t partition) {
  std::optional<ImportTarget> found;
  for (const auto& row : connection_.exec_params(with_schema("select r.handler, r.strategy like 'offset:%', l.ordering, l.id, l.start_offset, l.next_offset, " + recipes_of_r() + " from {schema}.lanes l "
                                                             "join {schema}.recipes r on r.group_id = l.group_id and r.topic = l.topic "
                                                             "where l.group_id = $1 and l.topic = $2 and l.partition = $3::int and l.lane < l.lane_count order by l.lane", schema_),
                                                 {group_, topic, text(partition)})) {
    Columns c(row);
    if (!found) found.emplace();
    found->handler = c.text();
    found->key_free = c.flag();
    found->ordering = c.text();
    ImportTarget::Lane lane;
    lane.id = static_cast<std::int32_t>(c.number());
    lane.start_offset = c.number();
    lane.next_offset = c.number();
    found->lanes.push_back(lane);
    found->recipes = read_recipes(c);
  }
  return found;
}

std::vector<std::int64_t> DeadLetterImport::insert(std::int32_t lane_id, const std::string& handler, const std::vector<ImportedLetter>& letters, std::int64_t action) {
  lock_lane(connection_, schema_, lane_id);
  auto sql = with_schema("insert into {schema}.dead_letters (group_id, handler, lane, topic, partition, \"offset\", incarnation, record_key, value, headers, record_timestamp, key, digest, ordering, cause, stage, error, "
                         "fingerprint, build, attempts, size, action_id) select l.group_id, " + connection_.quote(handler) + ", l.id, l.topic, l.partition, v.o, l.incarnation, v.k, v.b, v.h, v.t, v.key, v.digest, v.ord, 'imported', "
                         "'import', v.e, v.f, 'imported', v.n, coalesce(length(v.k), 0) + coalesce(length(v.b), 0), " + text(action) + " from {schema}.lanes l, (values ", schema_);
  bool first = true;
  for (const auto& l : letters) {
    sql += (first ? "(" : ",(") + text(l.offset) + "::bigint," + bytea_or_null(connection_, l.record_key) + "::bytea," + bytea_or_null(connection_, l.value) + "::bytea," + connection_.quote(l.headers) + "::json," +
           text(l.timestamp_ms) + "::bigint," + uuid_or_null(l.key) + "::uuid," + (l.key ? text(l.digest) : "null") + "::bigint," + number_or_null(stored(l.ordering)) + "::bigint," + connection_.quote(l.error) + "," + connection_.quote(l.fingerprint) + "," + text(l.attempts) + "::int)";
    first = false;
  }
  sql += ") v(o, k, b, h, t, key, digest, ord, e, f, n) where l.id = " + text(lane_id) +
         with_schema(" and not exists (select 1 from {schema}.parked p where p.group_id = l.group_id and p.topic = l.topic and p.partition = l.partition and p.incarnation = l.incarnation and p.\"offset\" = v.o) "
                     "and not exists (select 1 from {schema}.keys_1 k where k.key = v.key and k.lane = l.id and k.\"offset\" = v.o) on conflict do nothing returning \"offset\"", schema_);
  std::vector<std::int64_t> inserted;
  for (const auto& r : connection_.exec(sql)) inserted.push_back(r[0].as<std::int64_t>());
  if (inserted.empty()) return inserted;
  connection_.exec_params(with_schema("update {schema}.dlq_actions set accepted = accepted + $2::bigint where id = $1::bigint", schema_), {text(action), text(static_cast<std::int64_t>(inserted.size()))});
  if (connection_.exec_params(with_schema("select holds from {schema}.lanes where id = $1::int", schema_), {text(lane_id)})[0][0].as<bool>())
    connection_.exec_params(unmark_held_sql(schema_), {text(lane_id)});
  raise_parked_version(connection_, schema_, lane_id);
  return inserted;
}

}  // namespace deja::postgres
