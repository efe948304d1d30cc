#include "postgres/parked_heads.h"

#include "postgres/sql.h"

namespace deja::postgres {

std::string holding_sql() {
  // records of a log before come first
  return "from {schema}.dead_letters d where l.holds and d.lane = p.lane and d.ordering = p.ordering and d.status in ('open', 'replaying') and "
         "(d.incarnation = l.incarnation, d.\"offset\") < (p.incarnation = l.incarnation, p.\"offset\")";
}

std::string mark_heads_sql(const std::string& schema) {
  return with_schema("update {schema}.parked h set next_at = clock_timestamp() from (select p.id from (select distinct on (q.ordering) q.* from {schema}.parked q "
                     "join {schema}.lanes o on o.id = q.lane where q.lane = $1::int and q.ordering is not null and ($2::bigint[] is null or q.ordering = any($2::bigint[])) "
                     "order by q.ordering, q.incarnation = o.incarnation, q.\"offset\") p join {schema}.lanes l on l.id = p.lane "
                     "where p.next_at is null and not exists (select 1 from {schema}.parked m where m.lane = p.lane and m.ordering = p.ordering and m.next_at is not null) "
                     "and not exists (select 1 " + holding_sql() + ")) f where h.id = f.id returning h.id", schema);
}

std::string unmark_held_sql(const std::string& schema) {
  return with_schema("update {schema}.parked p set next_at = null, suspect = true from {schema}.lanes l where l.id = p.lane and p.lane = $1::int and p.next_at is not null "
                     "and exists (select 1 " + holding_sql() + ")", schema);
}

}  // namespace deja::postgres
