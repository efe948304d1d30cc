#include "postgres/parked_store.h"

#include "core/header_json.h"
#include "postgres/arrays.h"
#include "postgres/attempt_history.h"
#include "postgres/columns.h"
#include "postgres/ordering_column.h"
#include "postgres/parked_heads.h"
#include "postgres/sql.h"
#include "postgres/transaction_control.h"
#include "postgres/values.h"

namespace deja::postgres {

namespace {

const std::string row_columns =
    "p.id, p.topic, p.partition, p.\"offset\", p.record_key, p.value, p.headers, p.record_timestamp, p.size, p.incarnation, p.ordering, p.attempt, p.starts, "
    "p.waited_ms, p.first_seen, p.first_failed_at, coalesce(p.wanted, ''), coalesce(p.wanted_reason, ''), p.failures, p.redirected_to, p.dead_letter, p.attempts_before, "
    "p.edited, p.key, p.previous_key, p.idempotency_key, coalesce(p.digest, 0)";

// In the order of the log; records of a log before come first.
std::string place_of(const std::string& row, const std::string& partition = {}) {
  return "row_number() over (" + partition + "order by " + row + ".incarnation = l.incarnation, " + row + ".\"offset\", " + row + ".id)";
}

std::vector<HeldOrdering> held_of(const pqxx::result& found) {
  std::vector<HeldOrdering> held;
  for (const auto& row : found) held.emplace_back(*ordering_of(row[0].as<std::int64_t>()), row[1].as<std::int64_t>());
  return held;
}

std::optional<core::Uuid> uuid_of(const std::optional<std::string>& text) { return text ? core::parse_uuid(*text) : std::nullopt; }

struct Bytes {
  std::string topic;
  std::optional<std::string> key, value;
  std::vector<EventHeader> headers;
};
}  // namespace

ParkedStore::ParkedStore(std::string schema, std::string group, std::string build)
    : schema_(std::move(schema)), group_(std::move(group)), build_(std::move(build)),
      load_(with_schema("select id, \"offset\", ordering, key, previous_key, coalesce(digest, 0), case when wanted is not null then 0 else "
                        "ceil(extract(epoch from next_at - clock_timestamp()) * 1000)::bigint end, suspect, first_failed_at is not null and wanted is null and not paced, size from {schema}.parked where lane = $1::int", schema_)),
      read_(with_schema("select " + row_columns + " from unnest($2::bigint[]) with ordinality w(id, n) join {schema}.parked p on p.id = w.id and p.lane = $1::int order by w.n", schema_)),
      // heads come first into the sum, since they are bounded already; no run goes on to a row that is among them
      read_runs_(with_schema(
          "with heads as (select w.n, p.id, p.next_at is not null and p.wanted is null and count(*) over (partition by p.ordering) = 1 as leads, p.ordering, p.incarnation = l.incarnation as present, p.\"offset\" "
          "from unnest($2::bigint[]) with ordinality w(id, n) join {schema}.parked p on p.id = w.id and p.lane = $1::int join {schema}.lanes l on l.id = p.lane), "
          "wanted as (select n, 0 as place, id from heads union all select h.n, f.place, f.id from heads h cross join lateral (select q.id, " + place_of("q") + " as place "
          "from {schema}.parked q join {schema}.lanes l on l.id = q.lane where q.lane = $1::int and q.ordering = h.ordering and "
          "(q.incarnation = l.incarnation, q.\"offset\") > (h.present, h.\"offset\") order by 2 limit $3::int) f where h.leads), "
          "sized as (select r.n, r.place, r.id, sum(p.size) over (order by r.place > 0, r.n, r.place) as bytes from wanted r join {schema}.parked p on p.id = r.id) "
          "select " + row_columns + " from sized s join {schema}.parked p on p.id = s.id where s.place = 0 or s.bytes <= $4::bigint order by s.n, s.place", schema_)),
      look_(with_schema("select id, starts, coalesce(wanted, '') from {schema}.parked where id = any($2::bigint[]) and lane = $1::int and (next_at is not null or wanted is not null)", schema_)),
      look_runs_(with_schema(
          "with picked as (select p.*, l.holds, l.incarnation as present, row_number() over (partition by p.ordering order by p.incarnation = l.incarnation, p.\"offset\", p.id) as place, "
          "count(*) over (partition by p.ordering) as run from {schema}.parked p join {schema}.lanes l on l.id = p.lane where p.id = any($2::bigint[]) and p.lane = $1::int), "
          "first as (select f.id, f.place from (select distinct ordering, run from picked where ordering is not null and run > 1) o cross join lateral (select q.id, " + place_of("q") + " as place "
          "from {schema}.parked q join {schema}.lanes l on l.id = q.lane where q.lane = $1::int and q.ordering = o.ordering order by 2 limit o.run) f) "
          "select p.id, p.starts, coalesce(p.wanted, '') from picked p join {schema}.lanes l on l.id = p.lane left join first f on f.id = p.id and f.place = p.place "
          "where p.next_at is not null or p.wanted is not null or (f.id is not null and not exists (select 1 " + holding_sql() + "))", schema_)),
      offsets_(offsets_sql(schema_, "parked")),
      again_(with_schema("update {schema}.parked set attempt = attempt + 1, suspect = false, starts = 0, waited_ms = waited_ms + $2::bigint, "
                         "next_at = clock_timestamp() + $2::bigint * interval '1 millisecond', first_failed_at = coalesce(first_failed_at, now()), "
                         "cause = $3, stage = $4, error = $5, fingerprint = $6, build = $7, paced = false, failures = " +
                         with_failure("failures", "attempt + 1", "$4::text", "$5::text", "$7::text") + " where id = $1::bigint", schema_)),
      remove_(with_schema("delete from {schema}.parked where id = any($1::bigint[])", schema_)),
      promote_(mark_heads_sql(schema_)),
      held_(with_schema("select d.ordering, min(case when d.incarnation = l.incarnation then d.\"offset\" else -1 end) from {schema}.dead_letters d "
                        "join {schema}.lanes l on l.id = d.lane where d.lane = $1::int and d.status in ('open', 'replaying') and d.ordering is not null and ($2::bigint[] is null or d.ordering = any($2::bigint[])) group by 1", schema_)),
      unmark_(unmark_held_sql(schema_)),
      holds_(with_schema("update {schema}.lanes set holds = $2::boolean where id = $1::int", schema_)),
      lock_(with_schema("select 1 from {schema}.lanes where id = $1::int and owner_token = $2::uuid and batch_seq = $3::bigint for update", schema_)),
      give_back_(with_schema("update {schema}.parked p set attempt = greatest(0, p.attempt - w.n) from unnest($2::bigint[], $3::int[]) w(id, n) where p.id = w.id and p.lane = $1::int", schema_)),
      suspects_(with_schema(
          "update {schema}.parked p set suspect = true from (select q.id, q.next_at, q.ordering, " + place_of("q", "partition by q.ordering ") + " as place from {schema}.parked q "
          "join {schema}.lanes l on l.id = q.lane where q.lane = $1::int and (q.next_at <= clock_timestamp() or "
          "q.ordering in (select h.ordering from {schema}.parked h where h.lane = $1::int and h.next_at <= clock_timestamp()))) u "
          "where p.id = u.id and not p.suspect and (u.next_at <= clock_timestamp() or u.ordering is not null and u.place <= $2::int)", schema_)),
      start_(with_schema("update {schema}.parked set starts = $2::int where id = $1::bigint returning id", schema_)),
      count_(waiting_sql(schema_, "parked", "first_seen", "true")) {}

ParkedView ParkedStore::load(Connection& c, std::int32_t lane, bool holds) const {
  ParkedView all;
  for (const auto& row : c.exec_params(load_, {text(lane)})) {
    Columns columns(row);
    ParkedSummary summary;
    summary.record.id = columns.number();
    summary.record.offset = columns.number();
    summary.record.ordering = ordering_of(columns.maybe_number());
    summary.record.key = uuid_of(columns.maybe_text());
    summary.record.previous_key = uuid_of(columns.maybe_text());
    summary.record.digest = columns.number();
    if (const auto due = columns.maybe_number()) summary.due_in = std::chrono::milliseconds(*due);
    summary.record.suspect = columns.flag();
    summary.record.again = columns.flag();
    summary.record.size = static_cast<std::size_t>(columns.number());
    all.rows.push_back(std::move(summary));
  }
  if (holds) all.held = held_of(c.exec_params(held_, {text(lane), std::nullopt}));
  return all;
}

std::vector<ParkedRow> ParkedStore::read(Connection& c, std::int32_t lane, const std::vector<std::int64_t>& ids) const {
  return rows_of(c.exec_params(read_, {text(lane), array_text(ids)}));
}

std::vector<ParkedRow> ParkedStore::read_runs(Connection& c, std::int32_t lane, const std::vector<std::int64_t>& ids, std::size_t behind, std::size_t bytes) const {
  if (behind == 0) return read(c, lane, ids);
  return rows_of(c.exec_params(read_runs_, {text(lane), array_text(ids), text(static_cast<std::int64_t>(behind)), text(static_cast<std::int64_t>(bytes))}));
}

std::vector<ParkedRow> ParkedStore::rows_of(const pqxx::result& found) {
  std::vector<ParkedRow> rows;
  for (const auto& r : found) {
    Columns columns(r);
    ParkedRow row;
    auto bytes = std::make_shared<Bytes>();
    auto& view = row.record.view;
    row.id = columns.number();
    bytes->topic = columns.text();
    view.topic = bytes->topic;
    view.partition = static_cast<std::int32_t>(columns.number());
    view.offset = columns.number();
    bytes->key = columns.maybe_bytes();
    bytes->value = columns.maybe_bytes();
    if (bytes->key) view.key = *bytes->key;
    if (bytes->value) view.value = *bytes->value;
    bytes->headers = core::parse_headers_json(columns.text());
    for (const auto& h : bytes->headers) row.record.headers.push_back({h.name, h.value.has_value() ? std::optional(h.value.view()) : std::nullopt});
    view.headers = row.record.headers;
    view.timestamp_ms = columns.number();
    row.record.size = static_cast<std::size_t>(columns.number());
    row.incarnation = core::parse_uuid(columns.text()).value();
    row.ordering = ordering_of(columns.maybe_number());
    row.attempts = static_cast<std::int32_t>(columns.number());
    view.attempt = row.attempts + 1;
    row.starts = static_cast<std::int32_t>(columns.number());
    row.waited = std::chrono::milliseconds(columns.number());
    row.first_seen = columns.text();
    row.first_failed_at = columns.maybe_text();
    row.wanted = columns.text();
    row.wanted_reason = columns.text();
    row.failures = columns.text();
    row.redirected_to = columns.maybe_text();
    const auto dead_letter = columns.maybe_number();
    const auto attempts_before = static_cast<std::int32_t>(columns.number());
    if (dead_letter) row.replay = {*dead_letter, attempts_before, {}};
    if (columns.flag() && row.replay) {
      auto& kept = row.replay->kept.emplace();
      kept.key = uuid_of(columns.maybe_text());
      kept.previous_key = uuid_of(columns.maybe_text());
      kept.raw_key = columns.maybe_bytes().value_or("");
      kept.digest = columns.number();
    }
    row.record.owner = std::move(bytes);
    rows.push_back(std::move(row));
  }
  return rows;
}

std::unordered_map<std::int64_t, ParkedStore::Look> ParkedStore::look(Connection& c, std::int32_t lane, const std::vector<std::int64_t>& ids, bool runs) const {
  std::unordered_map<std::int64_t, Look> found;
  for (const auto& r : c.exec_params(runs ? look_runs_ : look_, {text(lane), array_text(ids)})) found.emplace(r[0].as<std::int64_t>(), Look{r[1].as<std::int32_t>(), r[2].c_str()});
  return found;
}

std::vector<std::int64_t> ParkedStore::offsets(Connection& c, const LaneState& lane, std::int64_t first, std::int64_t until) const {
  return read_offsets(c, offsets_, lane, first, until);
}

std::vector<std::int64_t> ParkedStore::insert(Connection& c, const LaneState& lane, const std::vector<NewParked>& records) const {
  if (records.empty()) return {};
  std::string sql = with_schema("insert into {schema}.parked (group_id, handler, lane, topic, partition, \"offset\", incarnation, ordering, record_key, value, headers, "
                                "record_timestamp, size, key, previous_key, idempotency_key, digest, build, attempt, waited_ms, next_at, first_failed_at, "
                                "cause, stage, error, fingerprint, failures) values ", schema_);
  bool first = true;
  for (const auto& p : records) {
    const auto& v = p.record->view;
    const auto delay = text(p.delay.count());
    sql += (first ? "(" : ",(") + c.quote(group_) + ',' + c.quote(p.handler) + ',' + text(lane.id) + ',' + c.quote(v.topic) + ',' + text(v.partition) + ',' +
           text(v.offset) + ",'" + core::to_text(lane.incarnation) + "'," + (p.ordering ? text(stored(*p.ordering)) : "null") + ',' +
           bytea_or_null(c, v.key) + ',' + bytea_or_null(c, v.value) + ',' + c.quote(core::headers_json(v.headers)) + ',' + text(v.timestamp_ms) + ',' +
           text(static_cast<std::int64_t>(p.record->size)) + ',' + uuid_or_null(p.key) + ',' + uuid_or_null(p.previous_key) + ',' +
           bytea_or_null(c, p.idempotency_key) + ',' + number_or_null(p.digest) + ',' + c.quote(build_);
    if (const auto& f = p.failure)
      sql += ",1," + delay + ",clock_timestamp() + " + delay + " * interval '1 millisecond',now()," + c.quote(f->cause) + ',' + c.quote(f->stage) + ',' +
             c.quote(f->error) + ',' + c.quote(f->fingerprint) + ',' + with_failure("'[]'::jsonb", "1", c.quote(f->stage), c.quote(f->error), c.quote(build_)) + ')';
    else
      sql += ",0,0,null,null,null,null,null,null,'[]')";
    first = false;
  }
  std::unordered_map<std::int64_t, std::int64_t> by_offset;
  for (const auto& r : c.exec(sql + " returning \"offset\", id")) by_offset.emplace(r[0].as<std::int64_t>(), r[1].as<std::int64_t>());
  std::vector<std::int64_t> ids;
  for (const auto& p : records) ids.push_back(by_offset.at(p.record->view.offset));
  return ids;
}

void ParkedStore::again(Connection& c, std::int64_t id, const ParkedFailure& failure, std::chrono::milliseconds delay) const {
  c.exec_params(again_, {text(id), text(delay.count()), failure.cause, failure.stage, failure.error, failure.fingerprint, build_});
}

std::vector<std::int64_t> ParkedStore::remove(Connection& c, std::int32_t lane, const std::vector<std::int64_t>& ids, const std::vector<std::uint64_t>& orderings) const {
  if (!ids.empty()) c.exec_params(remove_, {array_text(ids)});
  std::vector<std::int64_t> promoted;
  if (orderings.empty()) return promoted;
  for (const auto& r : c.exec_params(promote_, {text(lane), array_text(orderings, [](std::uint64_t o) { return text(stored(o)); })})) promoted.push_back(r[0].as<std::int64_t>());
  return promoted;
}

bool ParkedStore::mark_suspects(Connection& c, const LaneState& lane) const {
  return in_transaction(c, [&] {
    if (c.exec_params(lock_, {text(lane.id), lane.token, text(lane.batch_seq)}).empty()) return false;
    c.exec_params(suspects_, {text(lane.id), text(static_cast<std::int64_t>(longest_run + 1))});
    return true;
  }, short_wait);
}

bool ParkedStore::mark_heads(Connection& c, const LaneState& lane, bool holds) const {
  return in_transaction(c, [&] {
    if (c.exec_params(lock_, {text(lane.id), lane.token, text(lane.batch_seq)}).empty()) return false;
    c.exec_params(holds_, {text(lane.id), holds ? "true" : "false"});
    c.exec_params(unmark_, {text(lane.id)});
    c.exec_params(promote_, {text(lane.id), std::nullopt});
    return true;
  }, short_wait);
}

ParkedStore::Noted ParkedStore::note_start(Connection& c, const LaneState& lane, std::int64_t id, std::int32_t starts) const {
  auto noted = Noted::fenced;
  in_transaction(c, [&] {
    if (c.exec_params(lock_, {text(lane.id), lane.token, text(lane.batch_seq)}).empty()) return false;
    noted = c.exec_params(start_, {text(id), text(starts)}).empty() ? Noted::gone : Noted::yes;
    return noted == Noted::yes;
  }, short_wait);
  return noted;
}

std::vector<HeldOrdering> ParkedStore::held(Connection& c, std::int32_t lane, const std::vector<std::uint64_t>& orderings) const {
  return held_of(c.exec_params(held_, {text(lane), array_text(orderings, [](std::uint64_t o) { return text(stored(o)); })}));
}

bool ParkedStore::give_back(Connection& c, const LaneState& lane, const std::map<std::int64_t, std::int32_t>& attempts) const {
  std::vector<std::int64_t> ids;
  std::vector<std::int32_t> numbers;
  for (const auto& [id, n] : attempts) {
    ids.push_back(id);
    numbers.push_back(n);
  }
  return in_transaction(c, [&] {
    if (c.exec_params(lock_, {text(lane.id), lane.token, text(lane.batch_seq)}).empty()) return false;
    c.exec_params(give_back_, {text(lane.id), array_text(ids), array_text(numbers)});
    return true;
  }, short_wait);
}

std::vector<WaitingRecords> ParkedStore::count(Connection& c, const std::vector<std::int32_t>& lanes) const { return read_waiting(c, count_, lanes); }

}  // namespace deja::postgres
