#include "postgres/parked_admin.h"

#include "postgres/arrays.h"
#include "postgres/columns.h"
#include "postgres/explain.h"
#include "postgres/lane_change.h"
#include "postgres/parked_heads.h"
#include "postgres/sql.h"

namespace deja::postgres {
namespace {

constexpr int page_size = 500;  // a full lane must not have to fit into memory

const std::string listing_columns =
    "p.id, p.lane, p.incarnation, p.group_id, p.handler, p.topic, p.partition, l.lane, p.\"offset\", p.record_key, p.idempotency_key, p.attempt, p.starts, " +
    utc("p.next_at") + ", p.cause, p.error, p.fingerprint, "
    "coalesce(h.\"offset\", d.\"offset\"), d.id, " +
    utc("p.first_seen") + ", " + utc("p.first_failed_at") + ", p.size, p.wanted";

const std::string what_is_before =
    " left join lateral (select h.\"offset\" from {schema}.parked h where p.next_at is null and h.lane = p.lane and h.ordering = p.ordering and h.next_at is not null "
    "order by h.\"offset\" limit 1) h on true left join lateral (select d.id, d.\"offset\" " + holding_sql() + " and p.next_at is null and h.\"offset\" is null "
    "order by d.incarnation = l.incarnation, d.\"offset\" limit 1) d on true ";

template <class PqxxRow>
ParkedListing listing(const PqxxRow& row) {
  Columns c(row);
  ParkedListing p;
  p.id = c.number();
  p.lane_id = static_cast<std::int32_t>(c.number());
  p.incarnation = core::parse_uuid(c.text()).value();
  p.group = c.text();
  p.handler = c.text();
  p.topic = c.text();
  p.partition = c.number();
  p.lane = c.number();
  p.offset = c.number();
  p.record_key = c.maybe_bytes();
  p.idempotency_key = c.maybe_bytes();
  p.attempt = c.number();
  p.starts = c.number();
  p.next_at = c.maybe_text();
  p.cause = c.maybe_text();
  p.error = c.maybe_text();
  p.fingerprint = c.maybe_text();
  p.behind = c.maybe_number();
  p.held_by = c.maybe_number();
  p.first_seen = c.text();
  p.first_failed_at = c.maybe_text();
  p.size = c.number();
  p.wanted = c.maybe_text();
  return p;
}

}  // namespace

ParkedAdmin::ParkedAdmin(Connection& connection, std::string schema, std::string group)
    : connection_(connection), schema_(std::move(schema)), group_(group.empty() ? std::nullopt : std::optional(std::move(group))) {}

void ParkedAdmin::list(const Question& question, const std::function<bool(const ParkedListing&)>& visit) {
  const auto sql = with_schema("select " + listing_columns + " from {schema}.parked p join {schema}.lanes l on l.id = p.lane" + what_is_before + "where ($1::text is null or p.group_id = $1) and "
                               "($2::text is null or p.topic = $2) and ($3::bigint[] is null or p.id = any($3::bigint[])) and p.id > $4::bigint "
                               "order by p.id limit " + std::to_string(page_size), schema_);
  const auto topic = question.topic.empty() ? std::nullopt : std::optional(question.topic);
  const auto ids = question.ids ? std::optional(array_text(*question.ids)) : std::nullopt;
  for (std::int64_t after = 0;;) {
    const auto page = explained(connection_, [&] { return connection_.exec_params(sql, {group_, topic, ids, std::to_string(after)}); });
    for (const auto& row : page) {
      const auto found = listing(row);
      after = found.id;
      if (!visit(found)) return;
    }
    if (static_cast<int>(page.size()) < page_size) return;
  }
}

std::vector<GrownTopic> ParkedAdmin::grown_topics() {
  const auto sql = with_schema("select p.group_id, p.topic, p.records, string_agg(distinct l.partition::text, ' ') from "
                               "(select group_id, topic, count(*) as records, min(first_seen) as first from {schema}.parked where $1::text is null or group_id = $1 group by 1, 2) p "
                               "join {schema}.lanes l on l.group_id = p.group_id and l.topic = p.topic and l.created_at > p.first group by 1, 2, 3 order by 1, 2", schema_);
  std::vector<GrownTopic> topics;
  for (const auto& row : explained(connection_, [&] { return connection_.exec_params(sql, {group_}); })) {
    Columns c(row);
    GrownTopic topic;
    topic.group = c.text();
    topic.topic = c.text();
    topic.parked = c.number();
    topic.partitions = c.text();
    topics.push_back(std::move(topic));
  }
  return topics;
}

void ParkedAdmin::lock(std::int32_t lane_id) {
  lock_lane(connection_, schema_, lane_id);
}

std::vector<std::int64_t> ParkedAdmin::change(std::int32_t lane_id, const std::string& set, std::vector<std::optional<std::string>> arguments) {
  std::vector<std::int64_t> changed;
  for (const auto& row : connection_.exec_params(with_schema("update {schema}.parked set " + set + " returning id", schema_), arguments)) changed.push_back(row[0].as<std::int64_t>());
  if (!changed.empty()) raise_parked_version(connection_, schema_, lane_id);
  return changed;
}

std::vector<std::int64_t> ParkedAdmin::retry(std::int32_t lane_id, const std::vector<std::int64_t>& ids) {
  return change(lane_id, "next_at = clock_timestamp(), wanted = null, wanted_reason = null where lane = $1::int and id = any($2::bigint[]) and next_at is not null",
                {std::to_string(lane_id), array_text(ids)});
}

std::vector<std::int64_t> ParkedAdmin::want(std::int32_t lane_id, const std::vector<std::int64_t>& ids, const std::string& what, const std::string& reason) {
  return change(lane_id, "wanted = $3, wanted_reason = $4 where lane = $1::int and id = any($2::bigint[])", {std::to_string(lane_id), array_text(ids), what, reason});
}

std::vector<ParkedAdmin::Fate> ParkedAdmin::fates(std::int32_t lane_id, const std::vector<const ParkedListing*>& records) {
  const auto each = [&](auto&& text) { return array_text(records, text); };
  std::vector<Fate> fates;
  for (const auto& row : connection_.exec_params(
           with_schema("select p.id is not null, d.id, coalesce(d.status = 'discarded', false) from unnest($2::bigint[], $3::uuid[], $4::bigint[]) with ordinality "
                       "r(id, incarnation, \"offset\", n) join {schema}.lanes l on l.id = $1::int left join {schema}.parked p on p.id = r.id "
                       "left join {schema}.dead_letters d on d.group_id = l.group_id and d.topic = l.topic and d.partition = l.partition and "
                       "d.incarnation = r.incarnation and d.\"offset\" = r.\"offset\" order by r.n", schema_),
           {std::to_string(lane_id), each([](const auto* p) { return std::to_string(p->id); }), each([](const auto* p) { return core::to_text(p->incarnation); }),
            each([](const auto* p) { return std::to_string(p->offset); })})) {
    Columns c(row);
    Fate fate;
    fate.parked = c.flag();
    fate.letter = c.maybe_number();
    fate.discarded = c.flag();
    fates.push_back(fate);
  }
  return fates;
}

}  // namespace deja::postgres
