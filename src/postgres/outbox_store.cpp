#include "postgres/outbox_store.h"

#include "core/header_json.h"
#include "failpoints/failpoint.h"
#include "postgres/sql.h"
#include "postgres/transaction_control.h"

namespace deja::postgres {

namespace {
std::string bytea_literal(const Connection& c, const Bytes& bytes) {
  return bytes.has_value() ? c.quote(bytea_text(bytes.view())) + "::bytea" : "null";
}
Bytes bytes_field(const pqxx::field& f) { return f.is_null() ? Bytes() : Bytes(bytes_of(f.c_str())); }
}  // namespace

OutboxStore::OutboxStore(std::string schema)
    : schema_(std::move(schema)),
      // at most 8 MiB at once, but always one
      read_(with_schema("select seq, event_id, topic, partition, key, value, headers from (select *, sum(coalesce(length(value), 0) + "
                        "coalesce(length(key), 0)) over (order by seq) as bytes from (select * from {schema}.outbox where lane = $1::int "
                        "and seq >= $2::bigint and seq < $3::bigint order by seq limit $4::int) page) sized "
                        "where bytes < 8388608 or seq = $2::bigint order by seq", schema_)),
      age_(with_schema("select extract(epoch from clock_timestamp() - at)::float8 from {schema}.outbox "
                       "where lane = $1::int and seq > $2::bigint order by seq limit 1", schema_)) {}

std::string OutboxStore::table(int segment) const { return with_schema("{schema}.outbox_" + std::to_string(segment), schema_); }

std::string OutboxStore::insert_sql(const Connection& c, int segment, std::int32_t lane, std::int64_t first_seq,
                                    const std::vector<core::OutboundEvent>& events) const {
  if (events.empty()) return {};
  std::string sql = "insert into " + table(segment) + " (lane, seq, event_id, topic, partition, key, value, headers) values ";
  for (std::size_t i = 0; i < events.size(); ++i) {
    const auto& e = events[i];
    if (i > 0) sql += ',';
    sql += '(' + std::to_string(lane) + ',' + std::to_string(first_seq + static_cast<std::int64_t>(i)) + ",'" + core::to_text(e.id) + "'," +
           c.quote(e.topic) + ',' + (e.partition ? std::to_string(*e.partition) : "null") + ',' + bytea_literal(c, e.key) + ',' +
           bytea_literal(c, e.value) + ',' + c.quote(core::headers_json(e.headers)) + ')';
  }
  return sql + ";";
}

std::vector<StoredEvent> OutboxStore::read(Connection& c, std::int32_t lane, std::int64_t from, std::int64_t until, int limit) const {
  return read_events(c.exec_params(read_, {std::to_string(lane), std::to_string(from), std::to_string(until), std::to_string(limit)}));
}

std::vector<StoredEvent> read_events(const pqxx::result& rows) {
  std::vector<StoredEvent> events;
  for (const auto& r : rows) {
    StoredEvent stored;
    stored.seq = r[0].as<std::int64_t>();
    stored.event.id = core::parse_uuid(r[1].c_str()).value();
    stored.event.topic = r[2].c_str();
    if (!r[3].is_null()) stored.event.partition = r[3].as<std::int32_t>();
    stored.event.key = bytes_field(r[4]);
    stored.event.value = bytes_field(r[5]);
    stored.event.headers = core::parse_headers_json(r[6].c_str());
    events.push_back(std::move(stored));
  }
  return events;
}

bool OutboxStore::rotate(Connection& c, std::int64_t max_bytes) const {
  const auto now = c.exec(with_schema("select open_segment from {schema}.outbox_state", schema_));
  const int open = now[0][0].as<int>(), next = (open + 1) % segments;
  const auto sizes = c.exec("select pg_relation_size(" + c.quote(table(open)) + "::regclass), exists(select 1 from " + table(next) + ")");
  if (sizes[0][0].as<std::int64_t>() < max_bytes || sizes[0][1].as<bool>()) return false;
  return in_transaction(c, [&] {
    const bool opened = !c.exec(with_schema("update {schema}.outbox_state set open_segment = " + std::to_string(next) +
                                            ", opened_at = now() where open_segment = " + std::to_string(open) + " returning 1", schema_)).empty();
    DEJA_FAILPOINT(after_segment_opened);
    return opened;
  });
}

bool OutboxStore::truncate(Connection& c, int segment) const {
  // Cheap look first: an empty segment, or one with unpublished events, is not worth the lock.
  const std::string unpublished = with_schema("exists(select 1 from {schema}.lanes l where exists(select 1 from " + table(segment) +
                                              " o where o.lane = l.id and o.seq > l.published_seq))", schema_);
  const std::string closed = with_schema("not exists(select 1 from {schema}.outbox_state where open_segment = " + std::to_string(segment) + ")", schema_);
  const auto worth = c.exec("select exists(select 1 from " + table(segment) + ") and not " + unpublished + " and " + closed);
  if (!worth[0][0].as<bool>()) return false;
  return in_transaction(c, [&] {
    // a further statement, so that it sees what the lock waited for
    const auto still = c.exec("select not " + unpublished + " and " + closed);
    const bool empty = still[0][0].as<bool>();
    if (empty) c.exec("truncate " + table(segment));
    DEJA_FAILPOINT(after_segment_truncated);
    return empty;
  }, "set local lock_timeout = '100ms'; lock table " + table(segment) + " in access exclusive mode");
}

double OutboxStore::oldest_age_seconds(Connection& c, std::int32_t lane, std::int64_t published_seq) const {
  const auto r = c.exec_params(age_, {std::to_string(lane), std::to_string(published_seq)});
  return r.empty() ? 0.0 : std::max(0.0, r[0][0].as<double>());
}

}  // namespace deja::postgres
