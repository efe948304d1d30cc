#include "postgres/stuck_store.h"

#include "failpoints/failpoint.h"
#include "postgres/arrays.h"
#include "postgres/columns.h"
#include "postgres/sql.h"
#include "postgres/transaction_control.h"

namespace deja::postgres {

namespace {
std::string ids_text(const std::vector<EventAside>& events) {
  return array_text(events, [](const EventAside& e) { return e.key_id ? core::to_text(*e.key_id) : std::string("NULL"); });
}
}  // namespace

StuckStore::StuckStore(std::string schema)
    : version_(with_schema("select aside_version from {schema}.lanes where id = $1::int", schema)),
      passed_(with_schema("select seq from {schema}.outbox_stuck where lane = $1::int and seq > $2::bigint", schema)),
      keys_(with_schema("select distinct topic, key_id from {schema}.outbox_stuck where lane = $1::int and key_id is not null and state <> 'discarded'", schema)),
      keys_of_topic_(with_schema("select distinct key_id from {schema}.outbox_stuck where lane = $1::int and topic = $2 and key_id is not null and state <> 'discarded'", schema)),
      waiting_(with_schema("select distinct topic from {schema}.outbox_stuck where lane = $1::int and state = 'waiting'", schema)),
      lock_(with_schema("select aside_version from {schema}.lanes where id = $1::int and owner_token = $2::uuid and batch_seq = $3::bigint for update", schema)),
      copy_(with_schema("insert into {schema}.outbox_stuck (lane, seq, event_id, topic, partition, key, value, headers, at, state, key_id, error, attempts, size) "
                        "select o.lane, o.seq, o.event_id, o.topic, o.partition, o.key, o.value, o.headers, o.at, 'waiting', w.key_id, nullif(w.error, ''), "
                        "(w.error <> '')::int, coalesce(length(o.key), 0) + coalesce(length(o.value), 0) + length(o.headers::text) "
                        "from unnest($2::bigint[], $3::uuid[], $4::text[]) w(seq, key_id, error) join {schema}.outbox o on o.lane = $1::int and o.seq = w.seq on conflict do nothing", schema)),
      // the others of their keys are one or the other already
      spread_(with_schema("update {schema}.outbox_stuck s set state = 'stuck' where s.lane = $1::int and s.seq = any($2::bigint[]) and s.state = 'waiting' and exists "
                          "(select 1 from {schema}.outbox_stuck b where b.lane = s.lane and b.key_id = s.key_id and b.state = 'stuck')", schema)),
      copied_(with_schema("select distinct topic from {schema}.outbox_stuck where lane = $1::int and seq = any($2::bigint[]) and state = 'waiting'", schema)),
      due_(with_schema("select seq, event_id, topic, partition, key, value, headers from (select *, sum(size) over (order by seq) as bytes, row_number() over (order by seq) as n "
                       "from (select * from {schema}.outbox_stuck where lane = $1::int and topic = $2 and state = 'waiting' order by seq limit $3::bigint) page) sized "
                       "where n = 1 or bytes < 8388608 order by seq", schema)),
      // one that an operator discards meanwhile is Kafka's all the same
      remove_(with_schema("delete from {schema}.outbox_stuck where lane = $1::int and seq = any($2::bigint[])", schema)),
      free_(with_schema("select k from unnest($2::uuid[]) k where not exists (select 1 from {schema}.outbox_stuck s where s.lane = $1::int and s.key_id = k and s.state <> 'discarded')", schema)),
      refused_(with_schema("with head as (update {schema}.outbox_stuck set attempts = attempts + 1, error = $3, state = case when $4::boolean then 'stuck' else state end "
                           "where lane = $1::int and seq = $2::bigint and state = 'waiting' returning lane, key_id) "
                           "update {schema}.outbox_stuck s set state = 'stuck' from head where $4::boolean and s.lane = head.lane and s.key_id = head.key_id and s.seq <> $2::bigint and s.state = 'waiting'", schema)),
      topic_free_(with_schema("select not exists (select 1 from {schema}.outbox_stuck where lane = $1::int and topic = $2 and state = 'waiting')", schema)),
      count_(with_schema("select l.topic, count(*) from {schema}.outbox_stuck s join {schema}.lanes l on l.id = s.lane where s.lane = any($1::int[]) and s.state <> 'discarded' group by 1", schema)) {}

StuckView StuckStore::load(Connection& c, std::int32_t lane, std::int64_t published_seq) const {
  StuckView view;
  const auto id = std::to_string(lane);
  view.version = version(c, lane);  // before what it is of
  for (const auto& r : c.exec_params(passed_, {id, std::to_string(published_seq)})) view.passed.push_back(r[0].as<std::int64_t>());
  for (const auto& r : c.exec_params(keys_, {id})) view.keys.push_back({r[0].c_str(), core::parse_uuid(r[1].c_str())});
  for (const auto& r : c.exec_params(waiting_, {id})) view.waiting.emplace_back(r[0].c_str());
  return view;
}

std::int64_t StuckStore::version(Connection& c, std::int32_t lane) const { return c.exec_params(version_, {std::to_string(lane)}).at(0)[0].as<std::int64_t>(); }

// The version of what operators changed; nothing: the row is another owner's.
std::optional<std::int64_t> StuckStore::lock(Connection& c, const LaneState& row) const {
  const auto found = c.exec_params(lock_, {std::to_string(row.id), row.token, std::to_string(row.batch_seq)});
  return found.empty() ? std::nullopt : std::optional(found[0][0].as<std::int64_t>());
}

std::optional<std::set<std::string>> StuckStore::set_aside(Connection& c, const LaneState& row, const std::vector<EventAside>& events) const {
  std::set<std::string> waiting;
  std::vector<std::string> errors;
  std::vector<std::int64_t> numbers;
  for (const auto& e : events) {
    numbers.push_back(e.seq);
    errors.push_back(e.error);
  }
  const bool mine = in_transaction(c, [&] {
    if (!lock(c, row)) return false;
    const auto lane = std::to_string(row.id), seqs = array_text(numbers);
    c.exec_params(copy_, {lane, seqs, ids_text(events), array_text(errors)});
    c.exec_params(spread_, {lane, seqs});
    for (const auto& r : c.exec_params(copied_, {lane, seqs})) waiting.emplace(r[0].c_str());
    DEJA_FAILPOINT(after_aside_written);
    return true;
  }, short_wait);
  return mine ? std::optional(std::move(waiting)) : std::nullopt;
}

std::vector<StoredEvent> StuckStore::due(Connection& c, std::int32_t lane, const std::string& topic, std::int64_t limit) const {
  return read_events(c.exec_params(due_, {std::to_string(lane), topic, std::to_string(limit)}));
}

StuckSettled StuckStore::settle(Connection& c, const LaneState& row, std::int64_t read_at, const std::string& topic, const std::vector<std::int64_t>& acknowledged,
                                const std::vector<core::Uuid>& tried, const std::optional<Refused>& refused) const {
  StuckSettled settled;
  settled.mine = in_transaction(c, [&] {
    const auto now = lock(c, row);
    if (!now) return false;
    const auto lane = std::to_string(row.id);
    settled.stuck = refused && refused->own_fault && *now == read_at;
    c.exec_params(remove_, {lane, array_text(acknowledged)});
    if (refused) c.exec_params(refused_, {lane, std::to_string(refused->seq), refused->error, settled.stuck ? "true" : "false"});
    for (const auto& r : c.exec_params(free_, {lane, array_text(tried)})) settled.free_keys.push_back(core::parse_uuid(r[0].c_str()).value());
    settled.topic_free = c.exec_params(topic_free_, {lane, topic})[0][0].as<bool>();
    if (settled.topic_free) settled.keys_left = keys(c, row.id, topic);
    DEJA_FAILPOINT(after_aside_settled);
    return true;
  }, short_wait);
  return settled;
}

std::vector<core::Uuid> StuckStore::keys(Connection& c, std::int32_t lane, const std::string& topic) const {
  std::vector<core::Uuid> found;
  for (const auto& r : c.exec_params(keys_of_topic_, {std::to_string(lane), topic})) found.push_back(core::parse_uuid(r[0].c_str()).value());
  return found;
}

std::map<std::string, std::int64_t> StuckStore::count(Connection& c, const std::vector<std::int32_t>& lanes) const {
  std::map<std::string, std::int64_t> found;
  for (const auto& r : c.exec_params(count_, {array_text(lanes)})) found[r[0].c_str()] = r[1].as<std::int64_t>();
  return found;
}

}  // namespace deja::postgres
