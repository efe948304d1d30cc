#include "postgres/dead_letter_store.h"

#include <algorithm>

#include "core/disposition.h"
#include "core/header_json.h"
#include "core/utf8.h"
#include "postgres/arrays.h"
#include "postgres/attempt_history.h"
#include "postgres/ordering_column.h"
#include "postgres/sql.h"
#include "postgres/values.h"

namespace deja::postgres {

namespace {
// By the index of letters alone. Of a table that is new and has no statistics Postgres believes that few items are of one action: with the
// plain comparison it reads all of them, for each letter.
std::string item_of(const std::string& letter) { return "i.dead_letter = " + letter + ".id and i.action_id + 0 = " + letter + ".action_id"; }
}  // namespace

DeadLetterStore::DeadLetterStore(std::string schema, std::string group, std::string build)
    : schema_(std::move(schema)), group_(std::move(group)), build_(std::move(build)),
      count_(waiting_sql(schema_, "dead_letters", "dead_at", "status = 'open'")), offsets_(offsets_sql(schema_, "dead_letters")),
      again_(with_schema("with again as (update {schema}.dead_letters set status = 'open', cause = $2, stage = $3, error = $4, fingerprint = $5, build = $6, attempts = $7::int, "
                         "conflict_lane = $8::int, conflict_offset = $9::bigint, event_topic = coalesce(nullif($10, ''), event_topic), dead_at = now(), failures = " +
                         with_failure("$11::jsonb", "$7::int", "$3::text", "$4::text", "$6::text") + " where id = $1::bigint returning id, action_id, \"offset\", first_failed_at, replays), "
                         "items as (update {schema}.dlq_items i set state = 'failed', outcome = $12, at = now() from again a where " + item_of("a") + ") "
                         "select id, \"offset\", " + utc("first_failed_at") + ", replays from again", schema_)),
      end_(with_schema("with ended as (update {schema}.dead_letters d set status = case w.outcome when 'discarded' then 'discarded' else 'replayed' end, "
                       "key = coalesce(d.key, w.key), idempotency_key = coalesce(d.idempotency_key, w.raw), digest = coalesce(d.digest, w.digest) "
                       "from unnest($1::bigint[], $2::text[], $3::uuid[], $4::bytea[], $5::bigint[]) w(id, outcome, key, raw, digest) where d.id = w.id returning d.id, d.action_id, d.replays, d.event_topic, w.outcome), "
                       "items as (update {schema}.dlq_items i set state = 'done', outcome = e.outcome, at = now() from ended e where " + item_of("e") + ") "
                       "select id, coalesce(action_id, 0), replays, event_topic from ended where event_topic is not null", schema_)) {}

std::vector<DeadLetterId> DeadLetterStore::insert(Connection& c, const LaneState& lane, const std::vector<NewDeadLetter>& letters) const {
  if (letters.empty()) return {};
  std::string sql = with_schema("insert into {schema}.dead_letters (group_id, handler, lane, topic, partition, \"offset\", incarnation, record_key, value, "
                    "headers, record_timestamp, key, previous_key, idempotency_key, digest, ordering, cause, stage, error, fingerprint, build, attempts, size, "
                    "conflict_lane, conflict_offset, first_seen, first_failed_at, failures, event_topic, status) values ", schema_);
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
           number_or_null(d.conflict_offset) + ',' + time_or_now(d.first_seen) + ',' + time_or_now(d.first_failed_at) + ',' +
           with_failure(c.quote(d.failures) + "::jsonb", std::to_string(d.attempts), c.quote(d.stage), c.quote(d.error), c.quote(build_)) + ',' +
           (d.event_topic.empty() ? "null" : c.quote(d.event_topic)) + (d.discarded ? ",'discarded')" : ",'open')");
    first = false;
  }
  sql += " on conflict do nothing returning id, \"offset\", " + utc("first_failed_at");
  std::vector<DeadLetterId> ids;
  for (const auto& r : c.exec(sql)) ids.push_back({r[0].as<std::int64_t>(), r[1].as<std::int64_t>(), r[2].c_str(), 0});
  return ids;
}

std::vector<DeadLetterId> DeadLetterStore::open_again(Connection& c, const std::vector<NewDeadLetter>& letters) const {
  std::vector<DeadLetterId> ids;
  for (const auto& d : letters)
    for (const auto& r : c.exec_params(again_, {text(*d.replayed), d.cause, d.stage, d.error, d.fingerprint, build_, text(d.attempts), d.conflict_lane ? std::optional(text(*d.conflict_lane)) : std::nullopt,
                                                d.conflict_offset ? std::optional(text(*d.conflict_offset)) : std::nullopt, d.event_topic, d.failures,
                                                d.cause == core::cause::conflict ? d.cause : std::string(core::word(core::Disposition::dead))}))
      ids.push_back({r[0].as<std::int64_t>(), r[1].as<std::int64_t>(), r[2].c_str(), r[3].as<std::int32_t>()});
  return ids;
}

std::vector<core::DeadLetterNotice> DeadLetterStore::end(Connection& c, const std::vector<EndedReplay>& replays) const {
  const auto ids = array_text(replays, [](const EndedReplay& r) { return text(r.dead_letter); });
  const auto outcomes = array_text(replays, [](const EndedReplay& r) { return std::string(core::word(r.outcome)); });
  std::vector<core::DeadLetterNotice> notices;
  const auto keys = array_text(replays, [](const EndedReplay& r) { return r.key ? core::to_text(*r.key) : std::string("NULL"); });
  const auto raw = array_text(replays, [](const EndedReplay& r) { return r.idempotency_key ? "\"\\" + bytea_text(*r.idempotency_key) + '"' : std::string("NULL"); });
  const auto digests = array_text(replays, [](const EndedReplay& r) { return r.digest ? text(*r.digest) : std::string("NULL"); });
  for (const auto& r : c.exec_params(end_, {ids, outcomes, keys, raw, digests})) {
    const auto id = r[0].as<std::int64_t>();
    const auto outcome = std::find_if(replays.begin(), replays.end(), [&](const auto& e) { return e.dead_letter == id; })->outcome;
    const bool discarded = outcome == core::Disposition::discarded;
    notices.push_back({id, r[1].as<std::int64_t>(), r[2].as<std::int64_t>(), r[3].c_str(), discarded ? "discarded" : "replayed", discarded ? "" : core::word(outcome)});
  }
  return notices;
}

std::vector<std::int64_t> DeadLetterStore::offsets(Connection& c, const LaneState& lane, std::int64_t first, std::int64_t until) const {
  return read_offsets(c, offsets_, lane, first, until);
}

std::vector<WaitingRecords> DeadLetterStore::count(Connection& c, const std::vector<std::int32_t>& lanes) const { return read_waiting(c, count_, lanes); }

}  // namespace deja::postgres
