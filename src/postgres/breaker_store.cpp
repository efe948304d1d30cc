#include "postgres/breaker_store.h"

#include "postgres/arrays.h"
#include "postgres/sql.h"
#include "postgres/transaction_control.h"

namespace deja::postgres {

BreakerStore::BreakerStore(const std::string& schema, std::string group, std::string instance) : group_(std::move(group)), instance_(std::move(instance)) {
  take_ = with_schema("update {schema}.breakers set reset = false where group_id = $1 and instance = $2 and reset returning dependency, handler", schema);
  show_ = with_schema("insert into {schema}.breakers (group_id, instance, dependency, handler, state, since, cause) "
                      "values ($1, $2, $3, $4, $5, to_timestamp($6::float8 / 1000), nullif($7, '')) "
                      "on conflict (group_id, dependency, handler, instance) do update set state = excluded.state, since = excluded.since, cause = excluded.cause, "
                      "seen_at = clock_timestamp()", schema);
  leave_ = with_schema("delete from {schema}.breakers where group_id = $1 and (instance = $2 or seen_at < clock_timestamp() - interval '7 days')", schema);
}

std::vector<BreakerStore::Named> BreakerStore::sync(Connection& c, const std::vector<core::BreakerStatus>& breakers) const {
  std::vector<Named> asked;
  in_transaction(c, [&] {
    for (const auto& r : c.exec_params(take_, {group_, instance_})) asked.push_back({r[0].c_str(), r[1].c_str()});
    for (const auto& b : breakers) c.exec_params(show_, {group_, instance_, b.dependency, b.handler, b.state, std::to_string(b.since_ms), b.cause});
  });
  return asked;
}

void BreakerStore::leave(Connection& c) const {
  in_transaction(c, [&] { c.exec_params(leave_, {group_, instance_}); });
}

void BreakerStore::ask_to_close(Connection& c, const std::string& schema, const std::string& group, const std::string& dependency, const std::string& handler) {
  c.exec_params(with_schema("update {schema}.breakers set reset = true where group_id = $1 and dependency = $2 and ($3 = '' or handler = $3) "
                                               "and state <> 'closed' and seen_at > clock_timestamp() - interval '30 seconds'", schema),
                {group, dependency, handler});
}

}  // namespace deja::postgres
