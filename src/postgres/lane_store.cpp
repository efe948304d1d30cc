#include "postgres/lane_store.h"

#include "failpoints/failpoint.h"
#include "postgres/arrays.h"
#include "postgres/sql.h"
#include "postgres/transaction_control.h"

namespace deja::postgres {

namespace {
// A worker that waits here for another owner's transaction is missing elsewhere: better to come back.
constexpr const char* short_wait = "SET LOCAL lock_timeout = '250ms'";
constexpr const char* columns =
    "id, owner_token, owner_epoch, batch_seq, next_offset, next_event_seq, published_seq, parked_version, incarnation, clean";

LaneState row_of(const pqxx::row& r) {
  LaneState row;
  row.id = r[0].as<std::int32_t>();
  row.token = r[1].is_null() ? "" : r[1].c_str();
  row.owner_epoch = r[2].as<std::int64_t>();
  row.batch_seq = r[3].as<std::int64_t>();
  row.next_offset = r[4].as<std::int64_t>();
  row.next_event_seq = r[5].as<std::int64_t>();
  row.published_seq = r[6].as<std::int64_t>();
  row.parked_version = r[7].as<std::int64_t>();
  row.incarnation = core::parse_uuid(r[8].c_str()).value();
  row.was_clean = r[9].as<bool>();
  return row;
}

std::string text(std::int64_t n) { return std::to_string(n); }
}  // namespace

LaneStore::LaneStore(std::string schema, std::string instance) : schema_(std::move(schema)), instance_(std::move(instance)) {
  const std::string by_name = " from {schema}.lanes where group_id = $1 and topic = $2 and partition = $3::int and lane = $4::int";
  select_ = sql(std::string("select ") + columns + by_name + " for update");
  any_ = sql("select 1 from {schema}.lanes where group_id = $1 and topic = $2 limit 1");
  // the returned `clean` is the old owner's mark, read from the row as it was
  take_ = sql(std::string("update {schema}.lanes l set owner_token = gen_random_uuid(), owner_epoch = l.owner_epoch + 1, instance = $2, "
                          "clean = false, open = false, paused_cause = null, blocked_by = null from (select id, clean as was_clean from {schema}.lanes where id = $1::int) o "
                          "where l.id = o.id returning l.id, l.owner_token, l.owner_epoch, l.batch_seq, l.next_offset, l.next_event_seq, "
                          "l.published_seq, l.parked_version, l.incarnation, o.was_clean"));
  create_ = sql("insert into {schema}.lanes (group_id, topic, partition, lane, next_offset) values ($1, $2, $3::int, $4::int, $5::bigint) "
                "on conflict do nothing");
  lock_ = sql(std::string("select ") + columns + " from {schema}.lanes where id = $1::int for update");
  pause_ = sql("update {schema}.lanes set paused_cause = nullif($3, ''), blocked_by = nullif($4, '') where id = (select id from {schema}.lanes "
               "where id = $1::int and owner_token = $2::uuid for update skip locked)");
  look_ = sql("select id, owner_token, batch_seq from {schema}.lanes where id = any($1::int[])");
}

std::string LaneStore::sql(std::string_view s) const { return with_schema(s, schema_); }

std::optional<LaneState> LaneStore::take_over(Connection& c, const LaneName& name) const {
  return in_transaction(c, [&]() -> std::optional<LaneState> {
    // B1: the lock first, what it protects in a further statement
    const auto found = c.exec_params(select_, {name.group, name.topic, text(name.partition), text(name.lane)});
    if (found.empty()) return std::nullopt;
    DEJA_FAILPOINT(after_row_lock);
    auto taken = row_of(c.exec_params(take_, {std::string(found[0][0].c_str()), instance_})[0]);
    DEJA_FAILPOINT(after_row_taken);
    return taken;
  }, short_wait);
}

bool LaneStore::any_row_of_topic(Connection& c, const LaneName& name) const {
  return !c.exec_params(any_, {name.group, name.topic}).empty();
}

void LaneStore::create(Connection& c, const LaneName& name, std::int64_t start_offset) const {
  in_transaction(c, [&] { c.exec_params(create_, {name.group, name.topic, text(name.partition), text(name.lane), text(start_offset)}); });
}

void LaneStore::create_all(Connection& c, const std::string& group, const std::string& topic, const std::vector<std::int64_t>& start_offsets) const {
  in_transaction(c, [&] {
    c.exec_params("select pg_advisory_xact_lock(hashtextextended($1, 0))", {"deja lanes " + group + " " + topic});
    DEJA_FAILPOINT(after_creation_lock);
    if (!c.exec_params(any_, {group, topic}).empty()) return;  // in a further statement than the lock
    for (std::size_t p = 0; p < start_offsets.size(); ++p)
      c.exec_params(create_, {group, topic, text(static_cast<std::int64_t>(p)), "0", text(start_offsets[p])});
  });
}

LaneState LaneStore::read_locked(Connection& c, std::int32_t id) const {
  return in_transaction(c, [&] { return std::optional(row_of(c.exec_params(lock_, {text(id)}).at(0))); }, short_wait).value();
}

namespace {
std::string compare_and_set(const Connection& c, const LaneState& row, const LaneAdvance& a, bool open) {
  std::string set = "update {schema}.lanes set batch_seq = batch_seq + 1, next_offset = " + text(a.next_offset) +
                    ", published_seq = greatest(published_seq, " + text(a.published_seq) + "), clean = " + (a.clean ? "true" : "false") +
                    ", open = " + (open ? "true" : "false") + ", last_commit_at = now()";
  if (a.witness)
    set += ", leader_epoch = " + (a.witness->leader_epoch < 0 ? std::string("null") : text(a.witness->leader_epoch)) +
           ", witness_timestamp = " + text(a.witness->timestamp_ms) + ", witness_digest = " + c.quote(bytea_text(a.witness->digest));
  return set + " where id = " + text(row.id) + " and owner_token = " + c.quote(row.token) + " and batch_seq = " + text(row.batch_seq) +
         " and next_offset = " + text(row.next_offset);
}
}  // namespace

std::optional<BatchStart> LaneStore::begin(Connection& c, const LaneState& row, const LaneAdvance& advance) const {
  const auto result = c.exec(begin_writing + sql(compare_and_set(c, row, advance, true) +
                                                 " returning next_event_seq, parked_version, (select open_segment from {schema}.outbox_state)"));
  if (result.empty()) {
    c.exec("ROLLBACK");
    return std::nullopt;
  }
  return BatchStart{result[0][0].as<std::int64_t>(), result[0][1].as<std::int64_t>(), result[0][2].as<int>()};
}

std::string LaneStore::close_sql(const LaneState& row, std::int64_t events) const {
  // resets what a handler may have set for the transaction, so that the commit is durable whatever it did
  return sql("set local synchronous_commit to default; update {schema}.lanes set open = false, next_event_seq = next_event_seq + " + text(events) +
             " where id = " + text(row.id) + ";");
}

bool LaneStore::mark(Connection& c, const LaneState& row, const LaneAdvance& advance) const {
  return in_transaction(c, [&] {
    const bool mine = !c.exec(sql(compare_and_set(c, row, advance, false) + " returning id")).empty();
    DEJA_FAILPOINT(after_mark_written);
    return mine;
  });
}

void LaneStore::show_pause(Connection& c, const LaneState& row, const std::string& cause, const std::string& blocked_by) const {
  in_transaction(c, [&] { c.exec_params(pause_, {text(row.id), row.token, cause, blocked_by}); });
}

std::vector<LaneStore::Seen> LaneStore::look(Connection& c, const std::vector<std::int32_t>& ids) const {
  std::vector<Seen> seen;
  for (const auto& r : c.exec_params(look_, {array_text(ids)}))
    seen.push_back({r[0].as<std::int32_t>(), r[1].is_null() ? "" : r[1].c_str(), r[2].as<std::int64_t>()});
  return seen;
}

}  // namespace deja::postgres
