#include "postgres/registry_store.h"

#include "postgres/arrays.h"
#include "postgres/sql.h"
#include "postgres/transaction_control.h"

namespace deja::postgres {

namespace {
// Topic names have no characters that an array's text form would need quoted beyond these quotes.
std::string text_array(const std::vector<std::string>& items) {
  return array_text(items, [](const std::string& s) { return '"' + s + '"'; });
}
}  // namespace

RegistryStore::RegistryStore(const std::string& schema, std::string group)
    : group_(std::move(group)),
      store_(with_schema("insert into {schema}.recipes (group_id, topic, handler, scope, strategy, tenancy, secret_id) "
                         "values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing", schema)),
      read_(with_schema("select handler, scope, strategy, tenancy, secret_id from {schema}.recipes where group_id = $1 and topic = $2", schema)),
      enter_(with_schema("insert into {schema}.handlers (group_id, handler, instance, topics, strategy, build) values ($1, $2, $3, $4::text[], $5, $6) "
                         "on conflict (group_id, handler, instance) do update set topics = excluded.topics, strategy = excluded.strategy, "
                         "build = excluded.build, running = true, started_at = clock_timestamp(), last_seen = clock_timestamp()", schema)),
      leave_(with_schema("update {schema}.handlers set running = false, last_seen = clock_timestamp() where group_id = $1 and instance = $2", schema)),
      seen_(with_schema("update {schema}.handlers set last_seen = clock_timestamp() where group_id = $1 and instance = $2", schema)),
      forget_(with_schema("delete from {schema}.handlers where group_id = $1 and last_seen < clock_timestamp() - interval '7 days'", schema)),
      keys_(with_schema("select coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint, count(*) from {schema}.key_generations g "
                        "join pg_class c on c.relname = g.table_name and c.relnamespace = to_regnamespace('{schema}')", schema)) {}

core::KeyRecipe RegistryStore::agree_on_recipe(Connection& c, const std::string& topic, const core::KeyRecipe& declared) const {
  core::KeyRecipe stored;
  in_transaction(c, [&] {
    c.exec_params(store_, {group_, topic, declared.handler, declared.scope, declared.strategy, declared.tenancy, declared.secret_id});
    const auto r = c.exec_params(read_, {group_, topic}).at(0);
    stored = {r[0].c_str(), r[1].c_str(), r[2].c_str(), r[3].c_str(), r[4].c_str()};
  });
  return stored;
}

void RegistryStore::enter(Connection& c, const Registration& r) const {
  in_transaction(c, [&] { c.exec_params(enter_, {group_, r.handler, r.instance, text_array(r.topics), r.strategy, r.build}); });
}

void RegistryStore::leave(Connection& c, const std::string& instance) const {
  in_transaction(c, [&] { c.exec_params(leave_, {group_, instance}); });
}

void RegistryStore::seen(Connection& c, const std::string& instance) const {
  in_transaction(c, [&] {
    c.exec_params(seen_, {group_, instance});
    c.exec_params(forget_, {group_});
  });
}

RegistryStore::Keys RegistryStore::keys(Connection& c) const {
  const auto r = c.exec(keys_);
  return {r[0][0].as<std::int64_t>(), r[0][1].as<std::int64_t>()};
}

}  // namespace deja::postgres
