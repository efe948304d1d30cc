#include "postgres/replay_admin.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <unordered_map>

#include "postgres/arrays.h"
#include "postgres/columns.h"
#include "postgres/lane_change.h"
#include "postgres/parked_heads.h"
#include "postgres/replay_store.h"
#include "postgres/sql.h"
#include "postgres/values.h"

namespace deja::postgres {

namespace {
constexpr std::size_t at_once = 1000;
std::string alive(const std::string& h) { return h + ".running and " + h + ".last_seen > clock_timestamp() - interval '30 seconds'"; }
}  // namespace

ReplayAdmin::ReplayAdmin(Connection& connection, std::string schema) : connection_(connection), schema_(std::move(schema)) {}

bool ReplayAdmin::knows(const std::string& group, const std::string& handler) {
  return connection_.exec_params(with_schema("select exists(select 1 from {schema}.handlers where group_id = $1 and handler = $2)", schema_), {group, handler})[0][0].as<bool>();
}

std::vector<ForetoldLetter> ReplayAdmin::foretell(const std::vector<std::int64_t>& ids, std::chrono::milliseconds window, const std::optional<std::string>& redirect_to) {
  std::string generations;
  for (const auto& r : connection_.exec_params(with_schema("select table_name from {schema}.key_generations order by id", schema_), {}))
    generations += (generations.empty() ? "select key, digest from {schema}." : " union all select key, digest from {schema}.") + connection_.quote_name(r[0].c_str());
  const auto of_group = "from {schema}.handlers h where h.group_id = d.group_id and ";
  const auto of_handler = std::string(of_group) + "h.handler = d.handler and d.topic = any(h.topics)";
  // whoever works the topic runs it, and so has to have that handler too
  const std::string has_handler = "(select 1 from {schema}.handlers y where y.group_id = h.group_id and y.instance = h.instance and y.handler = $4)";
  const auto can_redirect = "and ($4::text is null or (exists(select 1 " + of_handler + " and exists" + has_handler + ") and not exists(select 1 " + of_handler + " and " + alive("h") + " and not exists" + has_handler + ")))";
  const auto sql = with_schema(
      "select d.id, "
      // while nobody of the group runs, those that ran before will come back
      "l.lane < l.lane_count and exists(select 1 " + of_handler + " and (" + alive("h") + " or not exists(select 1 from {schema}.handlers o where o.group_id = d.group_id and " + alive("o") + "))) " + can_redirect + ", "
      "$4::text is null and exists(select 1 " + of_handler + " and " + alive("h") + " and h.build = d.build), "
      "(select bool_and(k.digest = d.digest) from (" + generations + ") k where k.key in (d.key, d.previous_key)), "
      // the rule of the window has a margin of one in a hundred, at least a second (K6)
      "d.key is not null and clock_timestamp() - d.first_seen > ($2::bigint - greatest(1000, $2::bigint / 100)) * interval '1 millisecond', "
      "d.ordering is not null and (exists(select 1 from {schema}.parked p where p.lane = d.lane and p.ordering = d.ordering and "
      "(p.incarnation = l.incarnation, p.\"offset\") < (d.incarnation = l.incarnation, d.\"offset\")) or "
      "(l.holds and exists(select 1 from {schema}.dead_letters e where e.lane = d.lane and e.ordering = d.ordering and e.status in ('open', 'replaying') and not e.id = any($3::bigint[]) and "
      "(e.incarnation = l.incarnation, e.\"offset\") < (d.incarnation = l.incarnation, d.\"offset\")))), "
      "d.key, coalesce(d.digest, 0), d.replays from unnest($1::bigint[]) with ordinality w(id, n) join {schema}.dead_letters d on d.id = w.id join {schema}.lanes l on l.id = d.lane order by w.n", schema_);
  // which of them go before others matters only where dead letters hold their keys, and is long
  const bool holds = connection_.exec_params(with_schema("select exists(select 1 from {schema}.lanes l join {schema}.dead_letters d on d.lane = l.id where l.holds and d.id = any($1::bigint[]))", schema_), {array_text(ids)})[0][0].as<bool>();
  const auto all = holds ? array_text(ids) : std::string("{}");
  std::vector<ForetoldLetter> letters;
  std::unordered_map<std::string, std::int64_t> seen;  // keys of those before, and their digests
  for (std::size_t from = 0; from < ids.size(); from += at_once) {
    const std::vector<std::int64_t> page(ids.begin() + static_cast<std::ptrdiff_t>(from), ids.begin() + static_cast<std::ptrdiff_t>(std::min(ids.size(), from + at_once)));
    for (const auto& r : connection_.exec_params(sql, {array_text(page), text(window.count()), all, redirect_to})) {
      core::ReplayFacts facts;
      facts.registered = r[1].as<bool>();
      if (!r[3].is_null()) facts.same_payload = r[3].as<bool>();
      facts.older_than_window = r[4].as<bool>();
      facts.behind = r[5].as<bool>();
      if (!r[6].is_null() && !facts.same_payload) {  // one of them before it runs first
        const auto [at, is_first] = seen.try_emplace(r[6].c_str(), r[7].as<std::int64_t>());
        if (!is_first) facts.same_payload = at->second == r[7].as<std::int64_t>();
      }
      letters.push_back({r[0].as<std::int64_t>(), core::foretell(facts), r[2].as<bool>(), r[8].as<std::int64_t>()});
    }
  }
  return letters;
}

ReplayAdmin::Begun ReplayAdmin::begin(const std::string& group, const std::string& reason, std::int64_t matched, const std::vector<ForetoldLetter>& letters, const ReplayOrder& order) {
  const auto ids = array_text(letters, [](const ForetoldLetter& l) { return text(l.id); });
  const auto real = [](const std::optional<double>& value) { return value ? std::optional(std::to_string(*value)) : std::nullopt; };
  Begun begun;
  begun.action = connection_.exec_params(
      with_schema("insert into {schema}.dlq_actions (group_id, kind, reason, matched, rate, canary, stop_ratio, redirect_to, state, paced_until) "
                  "values ($1, 'replay', $2, $3::bigint, $4::float8, $5::bigint, $6::float8, $7, 'running', clock_timestamp()) returning id", schema_),
      {group, reason, text(matched), real(order.rate), order.canary ? std::optional(text(*order.canary)) : std::nullopt, real(order.stop_ratio), order.redirect_to})[0][0].as<std::int64_t>();
  // in one order, so that two operators do not lock each other out
  connection_.exec_params(with_schema("select id from {schema}.dead_letters where id = any($1::bigint[]) and status = 'open' order by id for update", schema_), {ids});
  for (const auto& r : connection_.exec_params(with_schema("update {schema}.dead_letters set status = 'replaying', action_id = $2::bigint, replays = replays + 1 "
                                                           "where id = any($1::bigint[]) and status = 'open' returning id", schema_), {ids, text(begun.action)}))
    begun.accepted.push_back(r[0].as<std::int64_t>());
  if (begun.accepted.empty()) return begun;
  const std::set<std::int64_t> taken(begun.accepted.begin(), begun.accepted.end());
  std::vector<ForetoldLetter> listed;
  std::copy_if(letters.begin(), letters.end(), std::back_inserter(listed), [&](const ForetoldLetter& l) { return taken.contains(l.id); });
  // Records of one ordering key are in one lane, in the order of the log; lanes take turns. They are joined by their ids alone: of a status
  // that was set just now the statistics say that hardly a letter has it, and each would be compared with each.
  connection_.exec_params(
      with_schema("insert into {schema}.dlq_items (action_id, place, dead_letter, lane, forecast) "
                  "select $1::bigint, row_number() over (order by o.place, o.lane), o.id, o.lane, o.forecast from (select d.id, d.lane, w.forecast, "
                  "row_number() over (partition by d.lane order by d.incarnation = l.incarnation, d.\"offset\", d.id) as place "
                  "from unnest($2::bigint[], $3::text[]) w(id, forecast) join {schema}.dead_letters d on d.id = w.id "
                  "join {schema}.lanes l on l.id = d.lane) o", schema_),
      {text(begun.action), array_text(listed, [](const ForetoldLetter& l) { return text(l.id); }),
       array_text(listed, [](const ForetoldLetter& l) { return std::string(core::word(l.forecast)); })});
  connection_.exec_params(with_schema("update {schema}.dlq_actions set accepted = $2::bigint, refused = matched - $2::bigint where id = $1::bigint", schema_),
                          {text(begun.action), text(static_cast<std::int64_t>(begun.accepted.size()))});
  return begun;
}

std::vector<ActionRow> ReplayAdmin::actions(const std::string& group, std::optional<std::int64_t> id, std::int64_t limit) {
  std::vector<ActionRow> rows;
  for (const auto& row : connection_.exec_params(
           with_schema("select a.id, a.group_id, a.kind, a.redirect_to, a.who, a.reason, " + utc("a.at") + ", a.state, a.state_cause, a.matched, a.accepted, a.refused, "
                       "coalesce(i.queued, 0), coalesce(i.running, 0), coalesce(i.done, case when a.kind = 'replay' then 0 else a.accepted end), coalesce(i.failed, 0), coalesce(i.cancelled, 0), "
                       "coalesce(i.differed, 0), a.rate, case when a.state = 'running' and i.done + i.failed > 0 then (i.queued + i.running) * "
                       "extract(epoch from clock_timestamp() - a.at)::float8 / (i.done + i.failed) end, " + utc("a.finished_at") +
                       " from (select * from {schema}.dlq_actions where ($1 = '' or group_id = $1) and ($2::bigint is null or id = $2::bigint) order by id desc limit $3::bigint) a "
                       "left join lateral (select count(*) filter (where state = 'queued') as queued, count(*) filter (where state = 'parked') as running, "
                       "count(*) filter (where state = 'done') as done, count(*) filter (where state = 'failed') as failed, count(*) filter (where state = 'cancelled') as cancelled, "
                       "count(*) filter (where outcome is not null and case forecast when 'already_processed' then outcome <> 'duplicate' else outcome not in ('processed', 'dead') end) as differed "
                       "from {schema}.dlq_items where action_id = a.id having count(*) > 0) i on true order by a.id desc", schema_),
           {group, id ? std::optional(text(*id)) : std::nullopt, text(limit)})) {
    Columns c(row);
    ActionRow a;
    a.id = c.number();
    a.group = c.text();
    a.kind = c.text();
    a.redirect_to = c.maybe_text();
    a.who = c.text();
    a.reason = c.text();
    a.at = c.text();
    a.state = c.text();
    a.state_cause = c.maybe_text();
    a.matched = c.number();
    a.accepted = c.number();
    a.refused = c.number();
    a.queued = c.number();
    a.running = c.number();
    a.done = c.number();
    a.failed = c.number();
    a.cancelled = c.number();
    a.differed = c.number();
    a.rate = c.maybe_real();
    a.eta = c.maybe_real();
    a.finished_at = c.maybe_text();
    rows.push_back(std::move(a));
  }
  return rows;
}

void ReplayAdmin::items(std::int64_t action, const std::function<bool(const ActionItem&)>& visit) {
  for (std::int64_t after = 0;;) {
    const auto page = connection_.exec_params(with_schema("select i.place, i.dead_letter, d.topic, d.partition, d.\"offset\", i.forecast, i.state, i.outcome, " + utc("i.at") +
                                                          " from {schema}.dlq_items i join {schema}.dead_letters d on d.id = i.dead_letter where i.action_id = $1::bigint and i.place > $2::bigint "
                                                          "order by i.place limit $3::bigint", schema_),
                                              {text(action), text(after), text(static_cast<std::int64_t>(at_once))});
    for (const auto& row : page) {
      Columns c(row);
      after = c.number();
      ActionItem item;
      item.dead_letter = c.number();
      item.topic = c.text();
      item.partition = c.number();
      item.offset = c.number();
      item.forecast = c.text();
      item.state = c.text();
      item.outcome = c.maybe_text();
      item.at = c.text();
      if (!visit(item)) return;
    }
    if (static_cast<std::size_t>(page.size()) < at_once) return;
  }
}

bool ReplayAdmin::move(std::int64_t action, const std::vector<std::string>& from, const std::string& to, const std::string& cause) {
  return !connection_.exec_params(with_schema("update {schema}.dlq_actions set state = $3, state_cause = nullif($4, ''), paced_until = clock_timestamp(), "
                                              "finished_at = case when $3 = 'cancelled' then clock_timestamp() end where id = $1::bigint and kind = 'replay' and state = any($2::text[]) returning id", schema_),
                                  {text(action), array_text(from), to, cause})
              .empty();
}

std::int64_t ReplayAdmin::open_rest(std::int64_t action) { return open_queued(connection_, schema_, action); }

std::vector<std::int32_t> ReplayAdmin::lanes_of(std::int64_t action) {
  std::vector<std::int32_t> lanes;
  for (const auto& r : connection_.exec_params(with_schema("select distinct lane from {schema}.dlq_items where action_id = $1::bigint and state = 'parked' order by 1", schema_), {text(action)}))
    lanes.push_back(r[0].as<std::int32_t>());
  return lanes;
}

std::int64_t ReplayAdmin::take_back(std::int64_t action, std::int32_t lane) {
  lock_lane(connection_, schema_, lane);
  std::set<std::int64_t> orderings;
  std::int64_t taken = 0;
  for (const auto& r : connection_.exec_params(
           with_schema("with back as (update {schema}.dlq_items set state = 'cancelled', at = clock_timestamp() where action_id = $1::bigint and lane = $2::int and state = 'parked' returning dead_letter), "
                       "gone as (delete from {schema}.parked p using back b where p.dead_letter = b.dead_letter returning p.*), "
                       "open as (update {schema}.dead_letters d set status = 'open', attempts = g.attempt, failures = g.failures, cause = g.cause, stage = g.stage, error = g.error, "
                       "fingerprint = g.fingerprint, build = g.build from gone g where d.id = g.dead_letter) "
                       "select ordering from gone", schema_),
           {text(action), text(lane)})) {
    ++taken;
    if (!r[0].is_null()) orderings.insert(r[0].as<std::int64_t>());
  }
  if (taken == 0) return 0;
  if (!orderings.empty()) connection_.exec_params(mark_heads_sql(schema_), {text(lane), array_text(std::vector<std::int64_t>(orderings.begin(), orderings.end()))});
  raise_parked_version(connection_, schema_, lane);
  return taken;
}

}  // namespace deja::postgres
