#include "postgres/budget_store.h"

#include <algorithm>

#include "postgres/sql.h"
#include "postgres/transaction_control.h"

namespace deja::postgres {

namespace {
std::string add(const std::string& schema, const std::string& column) {
  return with_schema("insert into {schema}.retry_budget as b (group_id, handler, second, " + column + ") "
                     "values ($1, $2, extract(epoch from clock_timestamp())::bigint, $3::bigint) "
                     "on conflict (group_id, handler, second) do update set " + column + " = b." + column + " + excluded." + column, schema);
}
}  // namespace

BudgetStore::BudgetStore(const std::string& schema, std::string group)
    : group_(std::move(group)), report_(add(schema, "first_deliveries")), take_(add(schema, "redeliveries")),
      spent_(with_schema("select coalesce(sum(first_deliveries), 0)::bigint, coalesce(sum(redeliveries), 0)::bigint from {schema}.retry_budget where "
                         "group_id = $1 and handler = $2 and second > extract(epoch from clock_timestamp())::bigint - $3::bigint", schema)),
      tidy_(with_schema("delete from {schema}.retry_budget where group_id = $1 and handler = $2 and second < extract(epoch from clock_timestamp())::bigint - 60", schema)) {}

core::RetryBudget::Spent BudgetStore::spent(Connection& c, const std::string& handler) const {
  const auto r = c.exec_params(spent_, {group_, handler, std::to_string(core::RetryBudget::window.count())});
  return {r[0][0].as<std::int64_t>(), r[0][1].as<std::int64_t>()};
}

core::RetryBudget::Spent BudgetStore::report(Connection& c, const std::string& handler, std::int64_t first_deliveries) const {
  if (first_deliveries > 0) in_transaction(c, [&] {
      c.exec_params(report_, {group_, handler, std::to_string(first_deliveries)});
      c.exec_params(tidy_, {group_, handler});
    });
  return spent(c, handler);
}

std::int64_t BudgetStore::take(Connection& c, const std::string& handler, std::int64_t wanted, const core::RetryBudget& budget) const {
  std::int64_t granted = 0;
  in_transaction(c, [&] {
    c.exec_params("select pg_advisory_xact_lock(hashtextextended($1, 1))", {"deja retry budget " + group_ + " " + handler});
    granted = std::min(wanted, budget.tokens(spent(c, handler)));  // in a further statement than the lock
    if (granted == 0) return;
    c.exec_params(take_, {group_, handler, std::to_string(granted)});
    c.exec_params(tidy_, {group_, handler});
    // numbers of seconds need not be durable, and others wait for the lock
  }, std::string(short_wait) + "; SET LOCAL synchronous_commit = off");
  return granted;
}

}  // namespace deja::postgres
