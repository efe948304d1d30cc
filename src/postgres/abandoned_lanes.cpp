#include "postgres/abandoned_lanes.h"

#include "postgres/arrays.h"
#include "postgres/columns.h"
#include "postgres/sql.h"
#include "postgres/transaction_control.h"

namespace deja::postgres {

AbandonedLanes::AbandonedLanes(const std::string& schema, const std::string& group)
    : group_(group),
      // a program is seen every five seconds; one that was not for half a minute was killed
      find_(with_schema("with registered as (select *, running and last_seen > clock_timestamp() - interval '30 seconds' as lives from {schema}.handlers), "
                        "waiting as (select l.id, l.group_id, l.topic, l.partition, l.lane, greatest(0, l.next_event_seq - 1 - greatest(l.published_seq, l.abandoned_seq)) + "
                        "(select count(*) from {schema}.outbox_stuck s where s.lane = l.id and s.state <> 'discarded' and s.seq > l.abandoned_seq) as events, "
                        "(select count(*) from {schema}.parked p where p.lane = l.id and p.id > l.abandoned_parked) as parked, "
                        "l.lane >= coalesce((select z.lane_count from {schema}.lanes z where z.group_id = l.group_id and z.topic = l.topic and "
                        "z.partition = l.partition and z.lane = 0), 1) as surplus from {schema}.lanes l where ($1 = '' or l.group_id = $1)) "
                        "select w.id, w.group_id, w.topic, w.partition, w.lane, w.events, w.parked, "
                        "exists (select 1 from registered r where r.group_id = w.group_id and r.lives), "
                        "not w.surplus and exists (select 1 from registered r where r.group_id = w.group_id and w.topic = any(r.topics) and not exists "
                        "(select 1 from registered m where m.group_id = r.group_id and m.instance = r.instance and m.handler = any($3::text[]))) "
                        "from waiting w where (w.events > 0 or w.parked > 0) and (w.surplus or not (w.topic = any($2::text[]) or exists (select 1 from registered r where "
                        "r.group_id = w.group_id and r.lives and w.topic = any(r.topics)))) order by 2, 3, 4, 5", schema)),
      audit_(with_schema("insert into {schema}.audit_log (action, group_id, reason, detail) select 'abandon', group_id, $2, json_agg(json_build_object("
                         "'topic', topic, 'partition', partition, 'lane', lane, 'first_seq', greatest(published_seq, abandoned_seq) + 1, "
                         "'last_seq', next_event_seq - 1, 'parked', (select count(*) from {schema}.parked p where p.lane = lanes.id)) order by topic, partition, lane) from {schema}.lanes where id = any($1::int[]) group by group_id", schema)),
      accept_(with_schema("update {schema}.lanes set abandoned_seq = next_event_seq - 1, abandoned_parked = coalesce((select max(p.id) from {schema}.parked p where p.lane = lanes.id), 0) where id = any($1::int[])", schema)) {}

std::vector<AbandonedLane> AbandonedLanes::find(Connection& c, const std::vector<std::string>& topics, const std::vector<std::string>& handlers) const {
  std::vector<AbandonedLane> lanes;
  for (const auto& row : c.exec_params(find_, {group_, array_text(topics), array_text(handlers)})) {
    Columns columns(row);
    AbandonedLane lane;
    lane.id = static_cast<std::int32_t>(columns.number());
    lane.group = columns.text();
    lane.topic = columns.text();
    lane.partition = static_cast<std::int32_t>(columns.number());
    lane.lane = static_cast<std::int32_t>(columns.number());
    lane.events = columns.number();
    lane.parked = columns.number();
    lane.group_runs = columns.flag();
    lane.other_program = columns.flag();
    lanes.push_back(std::move(lane));
  }
  return lanes;
}

void AbandonedLanes::accept(Connection& c, const std::vector<AbandonedLane>& lanes, const std::string& reason) const {
  std::vector<std::int32_t> ids;
  for (const auto& lane : lanes) ids.push_back(lane.id);
  in_transaction(c, [&] {
    c.exec_params(audit_, {array_text(ids), reason});
    c.exec_params(accept_, {array_text(ids)});
  });
}

namespace {
std::string counted(std::int64_t n, const std::string& what) { return n == 0 ? "" : std::to_string(n) + ' ' + what + (n == 1 ? "" : "s"); }
}  // namespace

std::string in_words(const std::vector<AbandonedLane>& lanes) {
  constexpr std::size_t most = 10;
  std::string text;
  for (std::size_t i = 0; i < lanes.size() && i < most; ++i) {
    const auto& l = lanes[i];
    text += (text.empty() ? "" : ", ") + l.topic + "/" + std::to_string(l.partition) + (l.lane > 0 ? " lane " + std::to_string(l.lane) : "") + " (" +
            counted(l.events, "event") + (l.events > 0 && l.parked > 0 ? ", " : "") + counted(l.parked, "parked record") + ')';
  }
  if (lanes.size() > most) text += " and " + std::to_string(lanes.size() - most) + " more";
  return text;
}

}  // namespace deja::postgres
