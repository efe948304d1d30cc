#include "postgres/constraints.h"

namespace deja::postgres {

std::string deferred_constraints(Connection& c) {
  const auto rows = c.exec(
      "select string_agg(distinct quote_ident(n.nspname) || '.' || quote_ident(c.conname), ', ') from pg_constraint c "
      "join pg_namespace n on n.oid = c.connamespace where c.condeferred and c.conname <> 'lane_is_closed'");
  return rows[0][0].is_null() ? std::string() : rows[0][0].c_str();
}

}  // namespace deja::postgres
