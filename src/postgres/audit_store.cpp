#include "postgres/audit_store.h"

#include <algorithm>
#include <tuple>

#include "postgres/arrays.h"
#include "postgres/columns.h"
#include "postgres/explain.h"
#include "postgres/recipe_columns.h"
#include "postgres/sql.h"

namespace deja::postgres {

namespace {
core::Uuid uuid_of(const std::string& text) { return core::parse_uuid(text).value(); }

// Postgres reads a uuid without its hyphens too.
std::string hex(const core::Uuid& uuid) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text(32, '0');
  for (std::size_t i = 0; i < uuid.bytes.size(); ++i) {
    text[2 * i] = digits[uuid.bytes[i] >> 4];
    text[2 * i + 1] = digits[uuid.bytes[i] & 15];
  }
  return text;
}

template <class Items, class Number>
std::string numbers(const Items& items, Number&& number) {
  return array_text(items, [&](const auto& item) { return std::to_string(number(item)); });
}
}  // namespace

AuditStore::AuditStore(Connection& connection, std::string schema) : connection_(connection), schema_(std::move(schema)) {}

std::string AuditStore::sql(std::string_view text) const { return with_schema(text, schema_); }

std::vector<std::pair<std::string, std::string>> AuditStore::topics(const std::string& group, const std::string& topic) {
  return explained(connection_, [&] {
    std::vector<std::pair<std::string, std::string>> found;
    for (const auto& r : connection_.exec_params(sql("select distinct group_id, topic from {schema}.lanes where ($1 = '' or group_id = $1) "
                                                     "and ($2 = '' or topic = $2) order by 1, 2"), {group, topic}))
      found.emplace_back(r[0].c_str(), r[1].c_str());
    return found;
  });
}

std::optional<core::KeyRecipes> AuditStore::recipes(const std::string& group, const std::string& topic) {
  return explained(connection_, [&]() -> std::optional<core::KeyRecipes> {
    const auto rows = connection_.exec_params(sql("select " + std::string(recipe_columns) + " from {schema}.recipes where group_id = $1 and topic = $2"), {group, topic});
    if (rows.empty()) return std::nullopt;
    const auto row = rows[0];
    Columns columns(row);
    return read_recipes(columns);
  });
}

std::vector<AuditLane> AuditStore::lanes(const std::string& group) {
  return explained(connection_, [&] {
    std::vector<AuditLane> lanes;
    connection_.exec("begin isolation level repeatable read read only");
    for (const auto& row : connection_.exec_params(
             sql("select id, topic, partition, lane, lane_count, start_offset, next_offset, reread_until, next_event_seq, published_seq, incarnation, ordering "
                 "from {schema}.lanes where group_id = $1 order by topic, partition, lane"), {group})) {
      Columns c(row);
      AuditLane lane;
      lane.id = static_cast<std::int32_t>(c.number());
      lane.topic = c.text();
      lane.partition = static_cast<std::int32_t>(c.number());
      lane.lane = static_cast<std::int32_t>(c.number());
      lane.lane_count = static_cast<std::int32_t>(c.number());
      lane.start_offset = c.number();
      lane.next_offset = c.number();
      lane.reread_until = c.number();
      lane.next_event_seq = c.number();
      lane.published_seq = c.number();
      lane.incarnation = uuid_of(c.text());
      lane.ordering = c.text();
      lane.history = core::LaneHistory(lane.start_offset);
      lanes.push_back(std::move(lane));
    }
    read_moves(group, lanes);
    read_set_aside(group, lanes);
    connection_.exec("rollback");
    return lanes;
  });
}

void AuditStore::read_set_aside(const std::string& group, std::vector<AuditLane>& lanes) {
  std::map<std::int32_t, AuditLane*> by_id;
  for (auto& lane : lanes) by_id[lane.id] = &lane;
  for (const auto& r : connection_.exec_params(sql("select s.lane, s.seq, s.state = 'discarded' from {schema}.outbox_stuck s join {schema}.lanes l on l.id = s.lane "
                                                   "where l.group_id = $1 order by 1, 2"), {group}))
    by_id.at(r[0].as<std::int32_t>())->set_aside.push_back({r[1].as<std::int64_t>(), r[2].as<bool>()});
}

void AuditStore::read_moves(const std::string& group, std::vector<AuditLane>& lanes) {
  std::map<std::tuple<std::string, std::int32_t, std::int32_t>, AuditLane*> by_name;
  for (auto& lane : lanes) by_name[{lane.topic, lane.partition, lane.lane}] = &lane;
  for (const auto& row : connection_.exec_params(
           sql("select detail->>'topic', (detail->>'partition')::int, (l->>'lane')::int, (l->>'from')::bigint, (l->>'to')::bigint, "
               "case when (detail->>'another_log')::boolean then (detail->>'log_start')::bigint end, (l->>'next_event_seq')::bigint, "
               "to_char(at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') "
               "from {schema}.audit_log, json_array_elements(case when json_typeof(detail->'lanes') = 'array' then detail->'lanes' else '[]' end) l "
               "where group_id = $1 and action in ('lanes reset', 'lanes accept-loss') order by id"), {group})) {
    Columns c(row);
    const auto topic = c.text();
    const auto partition = static_cast<std::int32_t>(c.number());
    const auto found = by_name.find({topic, partition, static_cast<std::int32_t>(c.number())});
    core::LaneMove move;
    move.from = c.number();
    move.to = c.number();
    const auto log_start = c.maybe_number();
    const auto next_event_seq = c.maybe_number();
    if (log_start) move.new_log = core::LaneMove::NewLog{*log_start, c.text(), next_event_seq.value_or(1)};
    if (found != by_name.end()) found->second->history.add(move);
  }
}

std::vector<std::string> AuditStore::event_topics(const std::string& group) {
  return explained(connection_, [&] {
    std::vector<std::string> topics;
    for (const auto& r : connection_.exec_params(sql("select topic from {schema}.event_topics where group_id = $1 order by 1"), {group})) topics.emplace_back(r[0].c_str());
    return topics;
  });
}

std::vector<Incarnation> AuditStore::incarnations(const std::string& group, const std::string& topic) {
  return explained(connection_, [&] {
    std::vector<Incarnation> found;
    for (const auto& r : connection_.exec_params(sql("select partition, incarnation from {schema}.lanes where group_id = $1 and topic = $2 union "
                                                     "select partition, incarnation from {schema}.dead_letters where group_id = $1 and topic = $2 union "
                                                     "select partition, incarnation from {schema}.parked where group_id = $1 and topic = $2"), {group, topic}))
      found.push_back({r[0].as<std::int32_t>(), uuid_of(r[1].c_str())});
    return found;
  });
}

const std::vector<std::string>& AuditStore::key_tables() {
  if (key_tables_.empty())
    for (const auto& r : connection_.exec(sql("select table_name from {schema}.key_generations order by id"))) key_tables_.push_back(sql("{schema}.") + quoted_identifier(r[0].c_str()));
  return key_tables_;
}

std::string AuditStore::all_keys() {
  if (key_tables().size() == 1) return key_tables().front();
  std::string text;
  for (const auto& table : key_tables()) text += (text.empty() ? "(select key, digest, lane, \"offset\", at from " : " union select key, digest, lane, \"offset\", at from ") + table + " where key = t.key";
  return text + ")";
}

void AuditStore::prepare_for_probes() {
  explained(connection_, [&] { connection_.exec("set enable_hashjoin = off; set enable_mergejoin = off; set enable_seqscan = off; set enable_bitmapscan = off; set jit = off"); });
}

AuditProbeResult AuditStore::probe(const std::string& group, const std::string& topic, const std::vector<Incarnation>& incarnations, const AuditProbe& wanted) {
  return explained(connection_, [&] {
    struct Look {
      std::int32_t partition;
      core::Uuid incarnation;
      std::int64_t first, last;
    };
    std::vector<Look> looks;
    for (const auto& span : wanted.spans)
      for (const auto& i : incarnations)
        if (i.partition == span.partition) looks.push_back({span.partition, i.uuid, span.first, span.last});
    std::string effect;
    for (const auto& table : key_tables()) effect += (effect.empty() ? "select case when e.lane = d.lane and e.\"offset\" = d.\"offset\" then 2 else 1 end from (select * from " : " union all select * from ") + table + " where key = d.key";
    effect += ") e limit 1";
    const auto result = connection_.exec_params(
        sql("select 0, t.i, k.digest, k.lane, k.\"offset\", null::bigint, null::uuid, null, null, k.at < t.since "
            "from unnest($1::uuid[], $2::bigint[], $3::int[], $4::bigint[], $11::timestamptz[]) with ordinality t(key, digest, lane, \"offset\", since, i) "
            "left join " + std::string(key_tables().size() > 1 ? "lateral " : "") + all_keys() + " k on k.key = t.key "
            "where k.key is null or k.lane <> t.lane or k.\"offset\" <> t.\"offset\" or k.digest <> t.digest or k.at < t.since "
            "union all select 1, d.partition, case when d.edited and d.status = 'replayed' then (" + effect + ") end, null, d.\"offset\", d.record_timestamp, d.incarnation, d.status, d.cause, null "
            "from unnest($5::int[], $6::uuid[], $7::bigint[], $8::bigint[]) r(partition, incarnation, first, last) "
            "join {schema}.dead_letters d on d.group_id = $9 and d.topic = $10 and d.partition = r.partition and d.incarnation = r.incarnation "
            "and d.\"offset\" between r.first and r.last "
            "union all select 2, p.partition, null, null, p.\"offset\", p.record_timestamp, p.incarnation, null, null, null "
            "from unnest($5::int[], $6::uuid[], $7::bigint[], $8::bigint[]) r(partition, incarnation, first, last) "
            "join {schema}.parked p on p.group_id = $9 and p.topic = $10 and p.partition = r.partition and p.incarnation = r.incarnation "
            "and p.\"offset\" between r.first and r.last"),
        {array_text(wanted.records, [](const auto& r) { return hex(r.key); }), numbers(wanted.records, [](const auto& r) { return r.digest; }),
         numbers(wanted.records, [](const auto& r) { return r.lane; }), numbers(wanted.records, [](const auto& r) { return r.offset; }),
         numbers(looks, [](const auto& l) { return l.partition; }), array_text(looks, [](const auto& l) { return hex(l.incarnation); }),
         numbers(looks, [](const auto& l) { return l.first; }), numbers(looks, [](const auto& l) { return l.last; }), group, topic,
         array_text(wanted.records, [](const auto& r) { return std::string(r.since); })});
    AuditProbeResult found;
    for (const auto& r : result) {
      const auto kind = r[0].as<int>();
      if (kind == 0) {
        AuditProbeResult::KeyRowElsewhere other;
        other.record = static_cast<std::size_t>(r[1].as<std::int64_t>() - 1);
        other.found = !r[2].is_null();
        if (other.found) {
          other.digest = r[2].as<std::int64_t>();
          other.lane = r[3].as<std::int32_t>();
          other.offset = r[4].as<std::int64_t>();
          other.older = r[9].as<bool>();
        }
        found.others.push_back(other);
      } else if (kind == 2) {
        found.parked.push_back({r[1].as<std::int32_t>(), r[4].as<std::int64_t>(), r[5].as<std::int64_t>(), uuid_of(r[6].c_str())});
      } else {
        AuditProbeResult::Letter letter;
        letter.partition = r[1].as<std::int32_t>();
        letter.offset = r[4].as<std::int64_t>();
        letter.record_timestamp = r[5].as<std::int64_t>();
        letter.incarnation = uuid_of(r[6].c_str());
        letter.status = r[7].c_str();
        letter.cause = r[8].c_str();
        if (!r[2].is_null()) letter.effect = r[2].as<int>();
        found.letters.push_back(std::move(letter));
      }
    }
    return found;
  });
}

std::vector<KeyTwin> AuditStore::twins(const std::string& group, const std::string& topic, const std::vector<UnprovedKey>& keys) {
  return explained(connection_, [&] {
    // Without payloads, which not everybody may read. Offset 0: by the index of keys, whatever the statistics say
    const std::string rows_of = " from (select key, digest, group_id, topic, partition, incarnation, \"offset\" from {schema}.";
    const std::string same_key = " where key = t.key offset 0) s where s.group_id = $7 and s.topic = $8 and s.partition = t.partition and "
                                 "(s.incarnation <> t.incarnation or s.\"offset\" < t.\"offset\" or (t.reread and s.\"offset\" <> t.\"offset\"))";
    std::vector<KeyTwin> found;
    for (const auto& r : connection_.exec_params(
             sql("select t.i, coalesce(bool_or(s.digest = t.digest), false) from unnest($1::uuid[], $2::bigint[], $3::int[], $4::bigint[], $5::uuid[], $6::boolean[]) "
                 "with ordinality t(key, digest, partition, \"offset\", incarnation, reread, i) cross join lateral (select s.digest" + rows_of + "parked" + same_key +
                 " union all select s.digest" + rows_of + "dead_letters" + same_key + ") s group by t.i"),
             {array_text(keys, [](const auto& k) { return hex(k.key); }), numbers(keys, [](const auto& k) { return k.digest; }),
              numbers(keys, [](const auto& k) { return k.partition; }), numbers(keys, [](const auto& k) { return k.offset; }),
              array_text(keys, [](const auto& k) { return hex(k.incarnation); }), array_text(keys, [](const auto& k) { return std::string(k.reread ? "t" : "f"); }), group, topic}))
      found.push_back({static_cast<std::size_t>(r[0].as<std::int64_t>() - 1), r[1].as<bool>()});
    return found;
  });
}

namespace {
constexpr std::string_view in_ranges = " k join unnest($1::int[], $2::bigint[], $3::bigint[], $4::timestamptz[]) r(lane, first, last, since) "
                                       "on k.lane = r.lane and k.\"offset\" >= r.first and k.\"offset\" < r.last and k.at >= r.since";

std::vector<std::optional<std::string>> range_arguments(const std::vector<KeyRowRange>& ranges) {
  return {numbers(ranges, [](const auto& r) { return r.lane; }), numbers(ranges, [](const auto& r) { return r.from; }), numbers(ranges, [](const auto& r) { return r.until; }),
          array_text(ranges, [](const auto& r) { return r.since; })};
}
}  // namespace

std::int64_t AuditStore::count_key_rows(const std::vector<KeyRowRange>& ranges) {
  return explained(connection_, [&] {
    std::int64_t rows = 0;
    for (const auto& table : key_tables()) rows += connection_.exec_params("select count(*) from " + table + std::string(in_ranges), range_arguments(ranges))[0][0].as<std::int64_t>();
    return rows;
  });
}

void AuditStore::key_rows(const std::vector<KeyRowRange>& ranges, const std::function<void(const KeyRow&)>& visit, const std::function<void()>& next_table) {
  explained(connection_, [&] {
    for (const auto& table : key_tables()) {
      connection_.exec("begin isolation level read committed read only");
      connection_.exec_params("declare deja_key_rows no scroll cursor for select k.key, k.lane, k.\"offset\", k.digest, k.at > now() - interval '1 hour' from " + table + std::string(in_ranges), range_arguments(ranges));
      for (;;) {
        const auto page = connection_.exec("fetch 20000 from deja_key_rows");
        for (const auto& r : page) visit({uuid_of(r[0].c_str()), r[1].as<std::int32_t>(), r[2].as<std::int64_t>(), r[3].as<std::int64_t>(), r[4].as<bool>()});
        if (page.empty()) break;
      }
      connection_.exec("rollback");
      next_table();
    }
  });
}

AuditStore::Waiting AuditStore::waiting(std::int32_t lane, const std::vector<std::int64_t>& wanted) {
  return explained(connection_, [&] {
    Waiting found;
    for (const auto& r : connection_.exec_params(sql("select l.published_seq, o.seq from {schema}.lanes l left join {schema}.outbox o on o.lane = l.id and o.seq = any($2::bigint[]) "
                                                     "where l.id = $1::int order by 2"),
                                                 {std::to_string(lane), array_text(wanted, [](std::int64_t n) { return std::to_string(n); })})) {
      found.published_seq = r[0].as<std::int64_t>();
      if (!r[1].is_null()) found.in_outbox.push_back(r[1].as<std::int64_t>());
    }
    return found;
  });
}

}  // namespace deja::postgres
