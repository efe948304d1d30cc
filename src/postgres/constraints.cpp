#include "postgres/constraints.h"

namespace deja::postgres {

std::string deferred_constraints(Connection& c) {
  const auto rows = c.exec(
      "select string_agg(distinct quote_ident(n.nspname) || '.' || quote_ident(c.conname), ', ') from pg_constraint c "
      "join pg_namespace n on n.oid = c.connamespace where c.condeferred and c.conname <> 'lane_is_closed' "
      // what SET CONSTRAINTS would stumble over: schemas that are not ours to use, temporary tables of others, a name shared with a
      // constraint that cannot be deferred
      "and has_schema_privilege(n.oid, 'usage') and not pg_is_other_temp_schema(n.oid) and not exists (select 1 from pg_constraint o "
      "where o.connamespace = c.connamespace and o.conname = c.conname and not o.condeferrable)");
  return rows[0][0].is_null() ? std::string() : rows[0][0].c_str();
}

}  // namespace deja::postgres
