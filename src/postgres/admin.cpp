#include "postgres/admin.h"

#include "postgres/arrays.h"
#include <nlohmann/json.hpp>

#include "postgres/columns.h"
#include "postgres/explain.h"

namespace deja::postgres {
namespace {

const std::string in_group = " ($1::text is null or group_id = $1) ";

}  // namespace

Admin::Admin(Connection& connection, std::string schema, std::string group)
    : connection_(connection), schema_(std::move(schema)), group_(group.empty() ? std::nullopt : std::optional(std::move(group))) {}

pqxx::result Admin::ask(std::string_view sql, std::vector<std::optional<std::string>> arguments) {
  return explained(connection_, [&] { return connection_.exec_params(with_schema(sql, schema_), arguments); });
}

std::vector<HandlerRow> Admin::handlers() {
  const auto result = ask("select group_id, handler, array_to_json(topics), strategy, build, "
                              // one that was not seen for half a minute (it is seen every five seconds) was killed
                              "count(*) filter (where running and last_seen > clock_timestamp() - interval '30 seconds'), " + utc("max(last_seen)") +
                              " from {schema}.handlers where" + in_group + "group by group_id, handler, topics, strategy, build order by 1, 2, 7 desc",
                          {group_});
  std::vector<HandlerRow> rows;
  for (const auto& found : result) {
    Columns c(found);
    HandlerRow row;
    row.group = c.text();
    row.handler = c.text();
    row.topics = nlohmann::json::parse(c.text()).get<std::vector<std::string>>();
    row.strategy = c.text();
    row.build = c.text();
    row.instances = c.number();
    row.last_seen = c.text();
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<BreakerRow> Admin::breakers() {
  const auto result = ask("select distinct on (group_id, dependency, handler) dependency, handler, state, " + utc("since") + ", cause from {schema}.breakers where" +
                              in_group + "and seen_at > clock_timestamp() - interval '30 seconds' "
                              "order by group_id, dependency, handler, array_position(array['open', 'half_open', 'closed'], state), since",
                          {group_});
  std::vector<BreakerRow> rows;
  for (const auto& found : result) {
    Columns c(found);
    BreakerRow row;
    row.dependency = c.text();
    row.handler = c.text();
    row.state = c.text();
    row.since = c.text();
    row.cause = c.maybe_text();
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<FloodRow> Admin::floods() {
  const auto result = ask("select distinct on (group_id, handler, fingerprint) handler, state, " + utc("since") + ", cause, fingerprint from {schema}.floods where" +
                              in_group + "and seen_at > clock_timestamp() - interval '30 seconds' "
                              "order by group_id, handler, fingerprint, array_position(array['outage', 'poison', 'watching'], state), since",
                          {group_});
  std::vector<FloodRow> rows;
  for (const auto& found : result) {
    Columns c(found);
    FloodRow row;
    row.handler = c.text();
    row.state = c.text();
    row.since = c.text();
    row.cause = c.maybe_text();
    row.fingerprint = c.maybe_text();
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<LaneRow> Admin::lanes() {
  const auto result = ask("select group_id, topic, partition, lane, instance, owner_epoch, next_offset, (select count(*) from {schema}.parked p where p.lane = lanes.id), published_seq, next_event_seq, coalesce('paused by an operator: ' || pause_reason, paused_cause), "
                              "case when pause_reason is null then blocked_by else 'operator' end, " +
                              utc("last_commit_at") + " from {schema}.lanes where" + in_group + "order by 1, 2, 3, 4",
                          {group_});
  std::vector<LaneRow> rows;
  for (const auto& found : result) {
    Columns c(found);
    LaneRow row;
    row.group = c.text();
    row.topic = c.text();
    row.partition = c.number();
    row.lane = c.number();
    row.instance = c.maybe_text();
    row.owner_epoch = c.number();
    row.next_offset = c.number();
    row.parked = c.number();
    row.published_seq = c.number();
    row.next_event_seq = c.number();
    row.paused_cause = c.maybe_text();
    row.blocked_by = c.maybe_text();
    row.last_commit_at = c.maybe_text();
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<OutboxRow> Admin::outbox() {
  // Numbers have no gaps, so what is unpublished is a subtraction, and its oldest event is the next number.
  const auto result = ask("select l.group_id, l.topic, l.partition, l.lane, l.next_event_seq - 1 - l.published_seq, "
                          "(select extract(epoch from clock_timestamp() - o.at)::float8 from {schema}.outbox o where o.lane = l.id and "
                          "o.seq = l.published_seq + 1 and l.next_event_seq > l.published_seq + 1 limit 1), "
                          "(select s.topic || ': ' || s.error from {schema}.outbox_stuck s where s.lane = l.id and s.state <> 'discarded' and s.error is not null order by s.stuck_at desc limit 1), "
                          "(select count(*) from {schema}.outbox_stuck s where s.lane = l.id and s.state <> 'discarded') from {schema}.lanes l where" +
                              in_group + "order by 1, 2, 3, 4",
                          {group_});
  std::vector<OutboxRow> rows;
  for (const auto& found : result) {
    Columns c(found);
    OutboxRow row;
    row.group = c.text();
    row.topic = c.text();
    row.partition = c.number();
    row.lane = c.number();
    row.unpublished = c.number();
    row.oldest_age = c.maybe_real();
    row.stuck_cause = c.maybe_text();
    row.stuck = c.number();
    rows.push_back(std::move(row));
  }
  return rows;
}

namespace {

const std::string dead_letter_columns =
    "d.id, d.lane, d.group_id, d.handler, d.topic, d.partition, d.\"offset\", d.record_key, d.idempotency_key, d.cause, d.stage, d.error, d.fingerprint, "
    "d.build, d.attempts, d.size, " +
    utc("d.first_failed_at") + ", " + utc("d.dead_at") + ", d.status, d.replays, d.action_id";

template <class PqxxRow>
DeadLetterRow dead_letter_row(Columns<PqxxRow>& c) {
  DeadLetterRow row;
  row.id = c.number();
  row.lane_id = static_cast<std::int32_t>(c.number());
  row.group = c.text();
  row.handler = c.text();
  row.topic = c.text();
  row.partition = c.number();
  row.offset = c.number();
  row.record_key = c.maybe_bytes();
  row.idempotency_key = c.maybe_bytes();
  row.cause = c.text();
  row.stage = c.text();
  row.error = c.text();
  row.fingerprint = c.text();
  row.build = c.text();
  row.attempts = c.number();
  row.size = c.number();
  row.first_failed_at = c.text();
  row.dead_at = c.text();
  row.status = c.text();
  row.replays = c.number();
  row.action_id = c.maybe_number();
  return row;
}

}  // namespace

void Admin::dead_letters(const DeadLetterQuestion& question, const std::function<bool(const DeadLetterRow&)>& visit) {
  constexpr int page = 500;  // a flood of dead letters must not have to fit into memory
  const auto ids = question.ids ? std::optional(array_text(*question.ids)) : std::nullopt;
  std::vector<std::optional<std::string>> arguments{group_, "0", ids, question.status};
  std::string in_text;
  if (question.text) {
    arguments.push_back(question.text);
    in_text = " and (position($5 in d.error) > 0 or position($5 in d.headers::text) > 0";
    for (const char* bytes : {"value", "record_key", "idempotency_key"}) in_text += std::string(" or position(convert_to($5, 'UTF8') in d.") + bytes + ") > 0";
    in_text += ")";
  }
  for (std::int64_t after = 0;;) {
    arguments[1] = std::to_string(after);
    const auto result = ask("select " + dead_letter_columns + " from {schema}.dead_letters d where" + in_group + "and d.id > $2 and ($3::bigint[] is null or d.id = any($3::bigint[]))" +
                                " and ($4::text is null or d.status = $4)" + in_text + " order by d.id limit " + std::to_string(page), arguments);
    for (const auto& found : result) {
      Columns c(found);
      const auto row = dead_letter_row(c);
      after = row.id;
      if (!visit(row)) return;
    }
    if (static_cast<int>(result.size()) < page) return;
  }
}

std::vector<DeadLetterStats> Admin::dead_letter_stats(const std::string& status) {
  const auto within = [](const char* from, const char* until) {
    return std::string("count(*) filter (where dead_at > clock_timestamp() - interval '") + from + "' and dead_at <= clock_timestamp() - interval '" + until + "')";
  };
  const auto result = ask("select group_id, handler, topic, cause, stage, fingerprint, (select e.error from {schema}.dead_letters e where e.id = s.newest), records, keys, " + utc("first_at") + ", " + utc("last_at") +
                              ", last_hour, hour_before, last_day, again from (select group_id, handler, topic, cause, stage, fingerprint, max(id) as newest, count(*) as records, count(distinct record_key) as keys, "
                              "min(dead_at) as first_at, max(dead_at) as last_at, " + within("1 hour", "0") + " as last_hour, " + within("2 hours", "1 hour") + " as hour_before, " + within("1 day", "0") +
                              " as last_day, count(*) filter (where replays > 0) as again from {schema}.dead_letters where" + in_group + "and ($2 = '' or status = $2) group by 1, 2, 3, 4, 5, 6) s order by records desc, 1, 2, 3, 4, 6",
                          {group_, status});
  std::vector<DeadLetterStats> rows;
  for (const auto& found : result) {
    Columns c(found);
    DeadLetterStats row;
    row.group = c.text();
    row.handler = c.text();
    row.topic = c.text();
    row.cause = c.text();
    row.stage = c.text();
    row.fingerprint = c.text();
    row.error = c.text();
    row.records = c.number();
    row.keys = c.number();
    row.first_at = c.text();
    row.last_at = c.text();
    row.last_hour = c.number();
    row.hour_before = c.number();
    row.last_day = c.number();
    row.replayed_before = c.number();
    rows.push_back(std::move(row));
  }
  return rows;
}

std::optional<DeadLetter> Admin::dead_letter(std::int64_t id, Payload payload) {
  // A viewer may not name these columns.
  const auto payload_of = [&](const std::string& table) { return payload == Payload::read ? table + ".value, " + table + ".headers" : "null::bytea, '[]'"; };
  const auto result = ask("select " + dead_letter_columns + ", " + payload_of("d") + ", " + utc("to_timestamp(d.record_timestamp / 1000.0)") + ", " +
                              utc("d.first_seen") +
                              ", d.failures, l.topic, l.partition, d.conflict_offset from {schema}.dead_letters d "
                              "left join {schema}.lanes l on l.id = d.conflict_lane where d.id = $1",
                          {std::to_string(id)});
  if (result.empty()) return std::nullopt;
  const auto found = result[0];
  Columns c(found);
  DeadLetter letter;
  letter.row = dead_letter_row(c);
  letter.value = c.maybe_bytes();
  letter.headers = c.text();
  letter.record_at = c.text();
  letter.first_seen = c.text();
  letter.failures = c.text();
  letter.conflict_topic = c.maybe_text();
  letter.conflict_partition = c.maybe_number();
  letter.conflict_offset = c.maybe_number();
  for (const auto& edited : ask("select a.id, " + utc("a.at") + ", a.who, a.reason, " + payload_of("e") + " from {schema}.dlq_edits e join {schema}.dlq_actions a on a.id = e.action_id where e.dead_letter = $1 order by e.id",
                                {std::to_string(id)})) {
    Columns e(edited);
    DeadLetter::Edit edit;
    edit.action = e.number();
    edit.at = e.text();
    edit.who = e.text();
    edit.reason = e.text();
    edit.value = e.maybe_bytes();
    edit.headers = e.text();
    letter.edits.push_back(std::move(edit));
  }
  return letter;
}

}  // namespace deja::postgres
