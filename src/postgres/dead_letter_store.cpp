#include "postgres/dead_letter_store.h"

#include "core/header_json.h"
#include "core/utf8.h"
#include "postgres/arrays.h"
#include "postgres/ordering_column.h"
#include "postgres/sql.h"
#include "postgres/values.h"

namespace deja::postgres {

DeadLetterStore::DeadLetterStore(std::string schema, std::string group, std::string build)
    : schema_(std::move(schema)), group_(std::move(group)), build_(std::move(build)),
      count_(waiting_sql(schema_, "dead_letters", "dead_at", "status = 'open'")), offsets_(offsets_sql(schema_, "dead_letters")) {}

std::vector<DeadLetterId> DeadLetterStore::insert(Connection& c, const LaneState& lane, const std::vector<NewDeadLetter>& letters) const {
  if (letters.empty()) return {};
  std::string sql = with_schema("insert into {schema}.dead_letters (group_id, handler, lane, topic, partition, \"offset\", incarnation, record_key, value, "
                    "headers, record_timestamp, key, previous_key, idempotency_key, digest, ordering, cause, stage, error, fingerprint, build, attempts, size, "
                    "conflict_lane, conflict_offset, first_seen, first_failed_at, status) values ", schema_);
  const auto time_or_now = [&](const std::optional<std::string>& time) { return time ? c.quote(*time) : std::string("now()"); };
  bool first = true;
  for (const auto& d : letters) {
    const auto& v = d.record->view;
    const auto size = v.key.value_or("").size() + v.value.value_or("").size();
    sql += (first ? "(" : ",(") + c.quote(group_) + ',' + c.quote(d.handler) + ',' + std::to_string(lane.id) + ',' + c.quote(v.topic) + ',' +
           std::to_string(v.partition) + ',' + std::to_string(v.offset) + ",'" + core::to_text(d.incarnation.value_or(lane.incarnation)) + "'," + bytea_or_null(c, v.key) +
           ',' + bytea_or_null(c, v.value) + ',' + c.quote(core::headers_json(v.headers)) + ',' + std::to_string(v.timestamp_ms) + ',' +
           uuid_or_null(d.key) + ',' + uuid_or_null(d.previous_key) + ',' + bytea_or_null(c, d.idempotency_key) + ',' + number_or_null(d.digest) + ',' + number_or_null(stored(d.ordering)) + ',' +
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
  return read_offsets(c, offsets_, lane, first, until);
}

std::vector<WaitingRecords> DeadLetterStore::count(Connection& c, const std::vector<std::int32_t>& lanes) const { return read_waiting(c, count_, lanes); }

}  // namespace deja::postgres
