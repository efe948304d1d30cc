#include "postgres/replay_store.h"

#include <algorithm>

#include "failpoints/failpoint.h"
#include "postgres/arrays.h"
#include "postgres/lane_change.h"
#include "postgres/parked_heads.h"
#include "postgres/sql.h"
#include "postgres/transaction_control.h"
#include "postgres/values.h"

namespace deja::postgres {

namespace {
constexpr std::int64_t in_flight_of_a_lane = 250, bytes_at_once = 8LL << 20;
// Failures are counted where they decide something.
const std::string progress_columns =
    "a.id, a.accepted, a.fed, (select count(*) from {schema}.dlq_items i where i.action_id = a.id and i.state = 'parked'), "
    "case when a.canary is not null or a.stop_ratio is not null then (select count(*) from {schema}.dlq_items i where i.action_id = a.id and i.state = 'failed') else 0 end, "
    "a.rate, coalesce(extract(epoch from clock_timestamp() - a.paced_until), 0)::float8, a.canary, a.stop_ratio from {schema}.dlq_actions a ";
// The owner's batches go first; another look comes in a moment.
constexpr const char* very_short_wait = "SET LOCAL lock_timeout = '100ms'";
}  // namespace

ReplayStore::ReplayStore(const std::string& schema, std::string group, std::int64_t most_parked)
    : most_parked_(std::clamp<std::int64_t>(most_parked, 1, in_flight_of_a_lane)), schema_(schema), group_(std::move(group)), running_(with_schema("select " + progress_columns + "where a.group_id = $1 and a.state = 'running' and a.kind = 'replay' order by a.id", schema)),
      turn_(with_schema("select 1 from {schema}.dlq_actions where id = $1::bigint and state = 'running' for update skip locked", schema)),
      now_(with_schema("select " + progress_columns + "where a.id = $1::bigint", schema)),
      next_(with_schema("select distinct lane from (select i.lane from {schema}.dlq_items i where i.action_id = $1::bigint and i.state = 'queued' and i.lane <> all(array("
                        "select p.lane from {schema}.dlq_items p where p.action_id = $1::bigint and p.state = 'parked' group by p.lane having count(*) >= $3::bigint)) "
                        "order by i.place limit $2::bigint) n order by 1", schema)),
      take_(with_schema("with room as (select least($3::bigint, greatest(0, $4::bigint - (select count(*) from {schema}.parked p where p.lane = $2::int and p.dead_letter is not null))) as records), "
                        "next as (select i.place, d.size from {schema}.dlq_items i join {schema}.dead_letters d on d.id = i.dead_letter where i.action_id = $1::bigint and i.state = 'queued' "
                        "and i.lane = $2::int order by i.place limit (select records from room)), "
                        "sized as (select place, sum(size) over (order by place) as bytes, row_number() over (order by place) as n from next) "
                        "update {schema}.dlq_items i set state = 'parked', at = clock_timestamp() from sized s where i.action_id = $1::bigint and i.place = s.place and (s.n = 1 or s.bytes <= $5::bigint) "
                        "returning i.dead_letter", schema)),
      park_(with_schema("insert into {schema}.parked (group_id, handler, lane, topic, partition, \"offset\", incarnation, ordering, record_key, value, headers, record_timestamp, size, "
                        "key, previous_key, idempotency_key, digest, attempt, attempts_before, first_seen, first_failed_at, cause, stage, error, fingerprint, build, failures, dead_letter, "
                        "edited, redirected_to, paced, next_at) select d.group_id, d.handler, d.lane, d.topic, d.partition, d.\"offset\", d.incarnation, d.ordering, d.record_key, d.value, d.headers, "
                        "d.record_timestamp, d.size + length(d.headers::text) + 128, d.key, d.previous_key, d.idempotency_key, d.digest, d.attempts, d.attempts, d.first_seen, d.first_failed_at, "
                        "d.cause, d.stage, d.error, d.fingerprint, d.build, d.failures, d.id, d.edited, (select redirect_to from {schema}.dlq_actions a where a.id = d.action_id), (select rate is not null from {schema}.dlq_actions a where a.id = d.action_id), "
                        "case when d.ordering is null then clock_timestamp() end from {schema}.dead_letters d where d.id = any($1::bigint[]) order by d.id returning ordering", schema)),
      // R1: the owner may have one of these under way, so it stays under suspicion
      demote_(with_schema("update {schema}.parked p set next_at = null, suspect = true from {schema}.lanes l where l.id = p.lane and p.lane = $1::int and p.ordering = any($2::bigint[]) "
                          "and p.next_at is not null and exists(select 1 from {schema}.parked q where q.lane = p.lane and q.ordering = p.ordering and "
                          "(q.incarnation = l.incarnation, q.\"offset\") < (p.incarnation = l.incarnation, p.\"offset\"))", schema)),
      heads_(mark_heads_sql(schema)),
      fed_(with_schema("update {schema}.dlq_actions set fed = fed + $2::bigint, paced_until = case when rate is not null then greatest(paced_until, clock_timestamp() - "
                       "greatest(1, 1 / rate) * interval '1 second') + $2::bigint / rate * interval '1 second' end where id = $1::bigint", schema)),
      stop_(with_schema("update {schema}.dlq_actions set state = 'stopped', state_cause = $2, finished_at = clock_timestamp() where id = $1::bigint and state = 'running' returning id", schema)),
      finish_(with_schema("update {schema}.dlq_actions a set state = 'done', finished_at = clock_timestamp() where id = $1::bigint and state = 'running' and "
                          "not exists(select 1 from {schema}.dlq_items i where i.action_id = a.id and i.state in ('queued', 'parked'))", schema)) {}

namespace {
template <class PqxxRow>
ReplayStore::Running running_of(const PqxxRow& r) {
  ReplayStore::Running replay;
  replay.action = r[0].template as<std::int64_t>();
  auto& p = replay.progress;
  p.accepted = r[1].template as<std::int64_t>();
  p.fed = r[2].template as<std::int64_t>();
  p.in_flight = r[3].template as<std::int64_t>();
  p.failed = r[4].template as<std::int64_t>();
  if (!r[5].is_null()) p.rate = r[5].template as<double>();
  p.credit = p.rate ? std::min(r[6].template as<double>(), core::longest_credit(*p.rate)) : 0;
  if (!r[7].is_null()) p.canary = r[7].template as<std::int64_t>();
  if (!r[8].is_null()) p.stop_ratio = r[8].template as<double>();
  return replay;
}
}  // namespace

std::vector<ReplayStore::Running> ReplayStore::running(Connection& c) const {
  std::vector<Running> all;
  for (const auto& row : c.exec_params(running_, {group_})) all.push_back(running_of(row));
  return all;
}

// B1: the lock first, what it protects in a further statement. Nothing is to be done where somebody else has it.
core::ReplayProgress ReplayStore::in_turn(Connection& c, std::int64_t action) const {
  if (c.exec_params(turn_, {text(action)}).empty()) return {.accepted = 0, .fed = 0, .in_flight = 1, .failed = 0};
  return running_of(c.exec_params(now_, {text(action)}).at(0)).progress;
}

std::vector<std::int32_t> ReplayStore::lanes_of_next(Connection& c, std::int64_t action, std::int64_t most) const {
  std::vector<std::int32_t> lanes;
  for (const auto& r : c.exec_params(next_, {text(action), text(most), text(most_parked_)})) lanes.push_back(r[0].as<std::int32_t>());
  return lanes;
}

bool ReplayStore::feed(Connection& c, std::int64_t action, std::int32_t lane, std::int64_t share) const {
  return in_transaction(c, [&] {
    const auto most = std::min(core::next_step(in_turn(c, action)).feed, share);
    DEJA_FAILPOINT(after_replay_turn);
    if (most <= 0) return false;
    lock_lane(c, schema_, lane);
    DEJA_FAILPOINT(after_replay_lock);
    std::vector<std::int64_t> taken, orderings;
    for (const auto& r : c.exec_params(take_, {text(action), text(lane), text(most), text(most_parked_), text(bytes_at_once)})) taken.push_back(r[0].as<std::int64_t>());
    if (taken.empty()) return false;
    for (const auto& r : c.exec_params(park_, {array_text(taken)}))
      if (!r[0].is_null()) orderings.push_back(r[0].as<std::int64_t>());
    DEJA_FAILPOINT(after_replay_parked);
    if (!orderings.empty()) {
      c.exec_params(demote_, {text(lane), array_text(orderings)});
      c.exec_params(heads_, {text(lane), array_text(orderings)});
    }
    c.exec_params(fed_, {text(action), text(static_cast<std::int64_t>(taken.size()))});
    raise_parked_version(c, schema_, lane);
    DEJA_FAILPOINT(after_replay_fed);
    return true;
  }, very_short_wait);
}

std::int64_t open_queued(Connection& c, const std::string& schema, std::int64_t action) {
  return c.exec_params(with_schema("with back as (update {schema}.dlq_items set state = 'cancelled', at = clock_timestamp() where action_id = $1::bigint and state = 'queued' returning dead_letter), "
                                   "open as (update {schema}.dead_letters d set status = 'open', replays = d.replays - 1 from back b where d.id = b.dead_letter and d.action_id = $1::bigint and d.status = 'replaying') "
                                   "select count(*) from back", schema), {text(action)})[0][0].as<std::int64_t>();
}

std::optional<std::string> ReplayStore::end(Connection& c, std::int64_t action) const {
  return in_transaction(c, [&]() -> std::optional<std::string> {
    const auto step = core::next_step(in_turn(c, action));
    if (step.finished) c.exec_params(finish_, {text(action)});
    if (!step.stop.empty()) stop_here(c, action, step.stop);
    return step.stop;
  });
}

void ReplayStore::stop(Connection& c, std::int64_t action, const std::string& cause) const {
  in_transaction(c, [&] { stop_here(c, action, cause); });
}

void ReplayStore::stop_here(Connection& c, std::int64_t action, const std::string& cause) const {
  if (c.exec_params(stop_, {text(action), cause}).empty()) return;  // it does not run any more
  open_queued(c, schema_, action);
  DEJA_FAILPOINT(after_replay_stopped);
}

}  // namespace deja::postgres
