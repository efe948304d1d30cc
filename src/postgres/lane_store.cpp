#include "postgres/lane_store.h"

#include "failpoints/failpoint.h"
#include "postgres/arrays.h"
#include "postgres/sql.h"
#include "postgres/transaction_control.h"
#include "postgres/values.h"

namespace deja::postgres {

namespace {
constexpr const char* columns =
    "id, owner_token, owner_epoch, batch_seq, next_offset, next_event_seq, published_seq, parked_version, incarnation, clean, "
    "witness_offset, leader_epoch, witness_timestamp, witness_digest, reread_until, suspect_from, suspect_records, suspect_starts, "
    "pause_reason, dead_letter_at, dead_letter_reason, holds";
constexpr const char* map_columns = "lane, lane_count, hash_version, ordering";

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
  if (!r[10].is_null())
    row.witness = Witness{r[10].as<std::int64_t>(), r[11].as<std::int32_t>(-1), r[12].as<std::int64_t>(-1), r[13].is_null() ? "" : bytes_of(r[13].c_str())};
  row.reread_until = r[14].as<std::int64_t>();
  row.suspects = {r[15].as<std::int64_t>(-1), r[16].as<std::int32_t>(), r[17].as<std::int32_t>()};
  row.pause_reason = r[18].is_null() ? "" : r[18].c_str();
  row.dead_letter_at = r[19].as<std::int64_t>(-1);
  row.dead_letter_reason = r[20].is_null() ? "" : r[20].c_str();
  row.holds = r[21].as<bool>();
  return row;
}

core::LaneMap map_of(const pqxx::row& r) { return {r[1].as<std::int32_t>(), r[2].as<std::int32_t>(), r[3].c_str()}; }

std::string map_text(const core::LaneMap& m) {
  return text(m.lanes) + (m.lanes == 1 ? " lane" : " lanes by the " + m.ordering + " (hash version " + text(m.hash_version) + ")");
}
}  // namespace

LaneStore::LaneStore(std::string schema, std::string instance) : schema_(std::move(schema)), instance_(std::move(instance)) {
  const std::string parked_of = "(select count(*) from {schema}.parked p where p.lane = lanes.id)";
  // dlq.order = hold: another lane would not know of them
  const std::string holding_of = "case when holds then (select count(*) from {schema}.dead_letters d where d.lane = lanes.id and d.status in ('open', 'replaying') and d.ordering is not null) else 0 end";
  const std::string by_name = " from {schema}.lanes where group_id = $1 and topic = $2 and partition = $3::int and lane = $4::int";
  select_ = sql(std::string("select ") + map_columns + ", id" + by_name + " for update");
  any_ = sql("select 1 from {schema}.lanes where group_id = $1 and topic = $2 limit 1");
  // the returned `clean` is the old owner's mark, read from the row as it was
  take_ = sql("update {schema}.lanes l set owner_token = gen_random_uuid(), owner_epoch = l.owner_epoch + 1, instance = $2, "
              "clean = false, open = false, paused_cause = null, blocked_by = null, "
              "suspect_records = case when o.was_clean or l.owner_token is null then l.suspect_records else greatest(l.suspect_records, $3::int) end "
              "from (select id, clean as was_clean from {schema}.lanes where id = $1::int) o "
              "where l.id = o.id returning l.id, l.owner_token, l.owner_epoch, l.batch_seq, l.next_offset, l.next_event_seq, "
              "l.published_seq, l.parked_version, l.incarnation, o.was_clean, l.witness_offset, l.leader_epoch, l.witness_timestamp, "
              "l.witness_digest, l.reread_until, l.suspect_from, l.suspect_records, l.suspect_starts, l.pause_reason, l.dead_letter_at, l.dead_letter_reason, l.holds");
  // the lanes of a partition share an incarnation: it is the log's
  create_ = sql("insert into {schema}.lanes (group_id, topic, partition, lane, next_offset, lane_count, hash_version, ordering, incarnation) "
                "select $1, $2, $3::int, n, $4::bigint, $5::int, $6::int, $7, i.incarnation "
                "from generate_series(0, $5::int - 1) n, (select gen_random_uuid() as incarnation) i on conflict do nothing");
  const std::string of_partition = " from {schema}.lanes where group_id = $1 and topic = $2 and partition = $3::int order by lane";
  partition_ = sql(std::string("select ") + map_columns + ", next_offset, next_event_seq - 1 - published_seq + (select count(*) from {schema}.outbox_stuck s where s.lane = lanes.id and s.state <> 'discarded'), " + parked_of + ", " + holding_of + of_partition);
  partition_locked_ = sql("select 1" + of_partition + " for update");
  join_ = sql("insert into {schema}.lanes (group_id, topic, partition, lane, next_offset, incarnation, leader_epoch, witness_offset, "
              "witness_timestamp, witness_digest, reread_until, pause_reason, dead_letter_at, dead_letter_reason) "
              "select group_id, topic, partition, n, next_offset, incarnation, leader_epoch, witness_offset, "
              "witness_timestamp, witness_digest, reread_until, orders.pause, orders.at, orders.reason from (select * from {schema}.lanes where group_id = $1 and topic = $2 and partition = $3::int and lane < lane_count "
              "order by witness_offset desc nulls last limit 1) l, "
              // an operator's order for one lane becomes one for all of them: which records it is about, only the old map knew
              "(select max(pause_reason) as pause, max(dead_letter_at) as at, max(dead_letter_reason) as reason from {schema}.lanes "
              "where group_id = $1 and topic = $2 and partition = $3::int and lane < lane_count) orders, generate_series(0, $4::int - 1) n "
              "on conflict (group_id, topic, partition, lane) do update set next_offset = excluded.next_offset, incarnation = excluded.incarnation, "
              "leader_epoch = excluded.leader_epoch, witness_offset = excluded.witness_offset, witness_timestamp = excluded.witness_timestamp, "
              "witness_digest = excluded.witness_digest, reread_until = excluded.reread_until, pause_reason = excluded.pause_reason, "
              "dead_letter_at = excluded.dead_letter_at, dead_letter_reason = excluded.dead_letter_reason");
  remap_ = sql("update {schema}.lanes set lane_count = $4::int, hash_version = $5::int, ordering = $6, owner_token = null, batch_seq = batch_seq + 1 "
               "where group_id = $1 and topic = $2 and partition = $3::int");
  holder_ = sql(std::string("select a.pid, pg_terminate_backend(a.pid)") +
                // the lock on a row is held by the transaction that the row names as its updater
                " from {schema}.lanes l join pg_locks k on k.locktype = 'transactionid' and k.transactionid = l.xmax and k.granted "
                "join pg_stat_activity a on a.pid = k.pid where l.group_id = $1 and l.topic = $2 and l.partition = $3::int and l.lane = $4::int "
                "and a.datname = current_database() and a.usename = current_user and a.application_name = current_setting('application_name') "
                "and a.pid <> pg_backend_pid() and a.state in ('idle in transaction', 'idle in transaction (aborted)') "
                "and a.state_change < clock_timestamp() - $5::bigint * interval '1 millisecond'");
  idle_ = sql("with free as (select id from {schema}.lanes where id = any($1::int[]) order by id for update skip locked) "
              "update {schema}.lanes l set batch_seq = l.batch_seq + 1, next_offset = v.target, leader_epoch = coalesce(v.epoch, l.leader_epoch), "
              "witness_offset = coalesce(v.w_offset, l.witness_offset), witness_timestamp = coalesce(v.w_time, l.witness_timestamp), "
              "witness_digest = coalesce(v.w_digest, l.witness_digest) "
              "from unnest($1::int[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bytea[], $9::int[]) "
              "as v(id, token, seq, was, target, w_offset, w_time, w_digest, epoch), free f "
              "where l.id = v.id and f.id = l.id and l.owner_token = v.token and l.batch_seq = v.seq and l.next_offset = v.was returning l.id");
  lock_ = sql(std::string("select ") + columns + " from {schema}.lanes where id = $1::int for update");
  pause_ = sql("update {schema}.lanes set paused_cause = nullif($3, ''), blocked_by = nullif($4, '') where id = (select id from {schema}.lanes "
               "where id = $1::int and owner_token = $2::uuid for update skip locked)");
  start_ = sql("update {schema}.lanes set suspect_from = $4::bigint, suspect_starts = $5::int where id = $1::int and owner_token = $2::uuid "
               "and batch_seq = $3::bigint returning id");
  look_ = sql("select id, owner_token, batch_seq, parked_version from {schema}.lanes where id = any($1::int[])");
}

std::string LaneStore::sql(std::string_view s) const { return with_schema(s, schema_); }

std::optional<LaneState> LaneStore::take_over(Connection& c, const LaneName& name, const core::LaneMap& map, std::int32_t suspects) const {
  for (;;) {
    const auto known = c.exec_params(partition_, {name.group, name.topic, text(name.partition)});
    if (known.empty()) return std::nullopt;
    if (!(map_of(known[0]) == map)) bring_to(c, name, map);
    bool changed_meanwhile = false;
    auto row = in_transaction(c, [&]() -> std::optional<LaneState> {
      // B1: the lock first, what it protects in a further statement
      const auto found = c.exec_params(select_, {name.group, name.topic, text(name.partition), text(name.lane)});
      if (found.empty()) return std::nullopt;
      DEJA_FAILPOINT(after_row_lock);
      // by another program: to go on by this map would skip the records of another one
      changed_meanwhile = !(map_of(found[0]) == map);
      if (changed_meanwhile) return std::nullopt;
      const auto taken = row_of(c.exec_params(take_, {std::string(found[0][4].c_str()), instance_, text(suspects)})[0]);
      DEJA_FAILPOINT(after_row_taken);
      return taken;
    }, short_wait);
    if (!changed_meanwhile) return row;
  }
}

// A record may change its lane only when all of them have consumed the same records and owe nothing. Owners are fenced: they
// would work on by the old map.
void LaneStore::bring_to(Connection& c, const LaneName& name, const core::LaneMap& map) const {
  const std::vector<std::optional<std::string>> partition = {name.group, name.topic, text(name.partition)};
  in_transaction(c, [&] {
    c.exec_params(partition_locked_, partition);
    const auto rows = c.exec_params(partition_, partition);
    const auto stored = map_of(rows[0]);
    if (stored == map) return;  // somebody was faster
    std::string why;
    for (const auto& r : rows) {
      if (r[0].as<std::int32_t>() >= stored.lanes) continue;  // of an older map
      if (r[4].as<std::int64_t>() != rows[0][4].as<std::int64_t>()) why = "its lanes stand at different offsets (" + std::string(rows[0][4].c_str()) + ", " + r[4].c_str() + ")";
      if (r[6].as<std::int64_t>() != 0) why = "lane " + std::string(r[0].c_str()) + " has " + r[6].c_str() + " parked records (deja parked list)";
      if (r[7].as<std::int64_t>() != 0) why = "lane " + std::string(r[0].c_str()) + " has " + r[7].c_str() + " dead letters that hold their ordering keys (deja dlq discard; or run it with dlq.order = continue first)";
      if (r[5].as<std::int64_t>() != 0) why = "lane " + std::string(r[0].c_str()) + " has " + r[5].c_str() + " unpublished events";
    }
    const auto where = name.topic + "/" + text(name.partition);
    if (!why.empty())
      throw LaneMapRefused(where + " is worked in " + map_text(stored) + " and is configured for " + map_text(map) + ", but " + why +
                           ": run the program as it was (lanes.per.partition = " + text(stored.lanes) + ", the same ordering), stop it with SIGTERM so that it drains, then change");
    auto arguments = partition;
    arguments.push_back(text(map.lanes));
    c.exec_params(join_, arguments);
    arguments.push_back(text(map.hash_version));
    arguments.push_back(map.ordering);
    c.exec_params(remap_, arguments);
  }, short_wait);
}

int LaneStore::end_idle_holder(Connection& c, const LaneName& name, std::chrono::milliseconds idle) const {
  const auto ended = c.exec_params(holder_, {name.group, name.topic, text(name.partition), text(name.lane), text(idle.count())});
  return ended.empty() ? 0 : ended[0][0].as<int>();
}

bool LaneStore::any_row_of_topic(Connection& c, const LaneName& name) const {
  return !c.exec_params(any_, {name.group, name.topic}).empty();
}

void LaneStore::create(Connection& c, const LaneName& name, std::int64_t start_offset, const core::LaneMap& map) const {
  in_transaction(c, [&] {
    c.exec_params(create_, {name.group, name.topic, text(name.partition), text(start_offset), text(map.lanes), text(map.hash_version), map.ordering});
  });
}

void LaneStore::create_all(Connection& c, const std::string& group, const std::string& topic, const std::vector<std::int64_t>& start_offsets,
                           const core::LaneMap& map) const {
  in_transaction(c, [&] {
    c.exec_params("select pg_advisory_xact_lock(hashtextextended($1, 0))", {"deja lanes " + group + " " + topic});
    DEJA_FAILPOINT(after_creation_lock);
    if (!c.exec_params(any_, {group, topic}).empty()) return;  // in a further statement than the lock
    for (std::size_t p = 0; p < start_offsets.size(); ++p)
      c.exec_params(create_, {group, topic, text(static_cast<std::int64_t>(p)), text(start_offsets[p]), text(map.lanes), text(map.hash_version), map.ordering});
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
  if (row.suspects.records > 0) set += ", suspect_records = greatest(0, suspect_records - " + text(a.records) + ")";
  if (a.witness)
    set += ", witness_offset = " + text(a.witness->offset) + ", leader_epoch = " + (a.witness->leader_epoch < 0 ? std::string("null") : text(a.witness->leader_epoch)) +
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

bool LaneStore::note_start(Connection& c, const LaneState& row, std::int64_t offset, std::int32_t starts) const {
  return in_transaction(c, [&] { return !c.exec_params(start_, {text(row.id), row.token, text(row.batch_seq), text(offset), text(starts)}).empty(); }, short_wait);
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

std::vector<std::int32_t> LaneStore::advance_idle(Connection& c, const std::vector<IdleLane>& lanes) const {
  const auto array = [&](auto&& field) { return array_text(lanes, field); };
  const auto of_witness = [&](auto&& field) {
    return array([&](const IdleLane& l) { return l.witness ? field(*l.witness) : std::string("NULL"); });
  };
  std::vector<std::int32_t> moved;
  in_transaction(c, [&] {
    for (const auto& r : c.exec_params(
             idle_, {array([](const IdleLane& l) { return text(l.row.id); }), array([](const IdleLane& l) { return l.row.token; }),
                     array([](const IdleLane& l) { return text(l.row.batch_seq); }), array([](const IdleLane& l) { return text(l.row.next_offset); }),
                     array([](const IdleLane& l) { return text(l.next_offset); }), of_witness([](const Witness& w) { return text(w.offset); }),
                     of_witness([](const Witness& w) { return text(w.timestamp_ms); }),
                     of_witness([](const Witness& w) { return "\"\\" + bytea_text(w.digest) + '"'; }),
                     of_witness([](const Witness& w) { return w.leader_epoch < 0 ? std::string("NULL") : text(w.leader_epoch); })}))
      moved.push_back(r[0].as<std::int32_t>());
  });
  return moved;
}

void LaneStore::show_pause(Connection& c, const LaneState& row, const std::string& cause, const std::string& blocked_by) const {
  in_transaction(c, [&] { c.exec_params(pause_, {text(row.id), row.token, cause, blocked_by}); });
}

std::vector<LaneStore::Seen> LaneStore::look(Connection& c, const std::vector<std::int32_t>& ids) const {
  std::vector<Seen> seen;
  for (const auto& r : c.exec_params(look_, {array_text(ids)}))
    seen.push_back({r[0].as<std::int32_t>(), r[1].is_null() ? "" : r[1].c_str(), r[2].as<std::int64_t>(), r[3].as<std::int64_t>()});
  return seen;
}

}  // namespace deja::postgres
