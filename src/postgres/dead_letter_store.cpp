#include "postgres/dead_letter_store.h"

#include "core/header_json.h"
#include "core/utf8.h"
#include "postgres/arrays.h"
#include "postgres/sql.h"
#include "postgres/values.h"

namespace deja::postgres {

DeadLetterStore::DeadLetterStore(std::string schema, std::string group, std::string build)
    : schema_(std::move(schema)), group_(std::move(group)), build_(std::move(build)),
      count_(with_schema("select topic, handler, count(*), extract(epoch from clock_timestamp() - min(dead_at))::float8 "
                         "from {schema}.dead_letters where lane = any($1::int[]) and status = 'open' group by 1, 2", schema_)),
      offsets_(with_schema("select d.\"offset\" from {schema}.dead_letters d join {schema}.lanes l on l.id = $1::int and d.group_id = l.group_id and "
                           "d.topic = l.topic and d.partition = l.partition and d.incarnation = l.incarnation "
                           "where d.\"offset\" >= $2::bigint and d.\"offset\" < $3::bigint", schema_)) {}

std::vector<DeadLetterId> DeadLetterStore::insert(Connection& c, const LaneState& lane, const std::vector<NewDeadLetter>& letters) const {
  if (letters.empty()) return {};
  std::string sql = with_schema("insert into {schema}.dead_letters (group_id, handler, lane, topic, partition, \"offset\", incarnation, record_key, value, "
                    "headers, record_timestamp, key, idempotency_key, digest, cause, stage, error, fingerprint, build, attempts, size, "
                    "conflict_lane, conflict_offset, first_seen, first_failed_at, status) values ", schema_);
  const auto time_or_now = [&](const std::optional<std::string>& time) { return time ? c.quote(*time) : std::string("now()"); };
  bool first = true;
  for (const auto& d : letters) {
    const auto& v = d.record->view;
    const auto size = v.key.value_or("").size() + v.value.value_or("").size();
    sql += (first ? "(" : ",(") + c.quote(group_) + ',' + c.quote(d.handler) + ',' + std::to_string(lane.id) + ',' + c.quote(v.topic) + ',' +
           std::to_string(v.partition) + ',' + std::to_string(v.offset) + ",'" + core::to_text(d.incarnation.value_or(lane.incarnation)) + "'," + bytea_or_null(c, v.key) +
           ',' + bytea_or_null(c, v.value) + ',' + c.quote(core::headers_json(v.headers)) + ',' + std::to_string(v.timestamp_ms) + ',' +
           uuid_or_null(d.key) + ',' + bytea_or_null(c, d.idempotency_key) + ',' + number_or_null(d.digest) + ',' +
           c.quote(d.cause) + ',' + c.quote(d.stage) + ',' + c.quote(d.error) + ',' + c.quote(d.fingerprint) + ',' + c.quote(build_) + ',' +
           std::to_string(d.attempts) + ',' + std::to_string(size) + ',' + number_or_null(d.conflict_lane) + ',' +
           number_or_null(d.conflict_offset) + ',' + time_or_now(d.first_seen) + ',' + time_or_now(d.first_failed_at) + (d.discarded ? ",'discarded')" : ",'open')");
    first = false;
  }
  sql += " on conflict do nothing returning id, \"offset\", "
         "to_char(first_failed_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')";
  std::vector<DeadLetterId> ids;
  for (const auto& r : c.exec(sql)) ids.push_back({r[0].as<std::int64_t>(), r[1].as<std::int64_t>(), r[2].c_str()});
  return ids;
}

std::vector<std::int64_t> DeadLetterStore::offsets(Connection& c, const LaneState& lane, std::int64_t first, std::int64_t until) const {
  std::vector<std::int64_t> found;
  for (const auto& r : c.exec_params(offsets_, {std::to_string(lane.id), std::to_string(first), std::to_string(until)}))
    found.push_back(r[0].as<std::int64_t>());
  return found;
}

std::vector<DeadLetterStore::Count> DeadLetterStore::count(Connection& c, const std::vector<std::int32_t>& lanes) const {
  std::vector<Count> counts;
  for (const auto& r : c.exec_params(count_, {array_text(lanes)}))
    counts.push_back({r[0].c_str(), r[1].c_str(), r[2].as<std::int64_t>(), r[3].as<double>()});
  return counts;
}

}  // namespace deja::postgres
