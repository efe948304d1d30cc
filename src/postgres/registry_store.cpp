#include "postgres/registry_store.h"

#include "postgres/arrays.h"
#include "postgres/columns.h"
#include "postgres/recipe_columns.h"
#include "postgres/sql.h"
#include "postgres/transaction_control.h"

namespace deja::postgres {

namespace {
// Topic names have no characters that an array's text form would need quoted beyond these quotes.
}  // namespace

RegistryStore::RegistryStore(const std::string& schema, std::string group)
    : group_(std::move(group)),
      store_(with_schema("insert into {schema}.recipes (group_id, topic, handler, scope, strategy, tenancy, secret_id, previous_handler, previous_scope, "
                         "previous_strategy, previous_tenancy, previous_secret_id, previous_used_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, "
                         "case when $8::text is not null then clock_timestamp() end) on conflict do nothing", schema)),
      lock_(with_schema("select 1 from {schema}.recipes where group_id = $1 and topic = $2 for update", schema)),
      read_(with_schema("select " + std::string(recipe_columns) + ", coalesce(previous_used_at + w <= clock_timestamp(), true), "
                        "coalesce(to_char((previous_used_at + w) at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), '') "
                        "from {schema}.recipes, (select $3::bigint * interval '1 millisecond') as t(w) where group_id = $1 and topic = $2", schema)),
      change_(with_schema("update {schema}.recipes set handler = $3, scope = $4, strategy = $5, tenancy = $6, secret_id = $7, previous_handler = $8, "
                          "previous_scope = $9, previous_strategy = $10, previous_tenancy = $11, previous_secret_id = $12, "
                          "previous_used_at = clock_timestamp(), stored_at = clock_timestamp() where group_id = $1 and topic = $2", schema)),
      end_change_(with_schema("update {schema}.recipes set previous_handler = null, previous_scope = null, previous_strategy = null, previous_tenancy = null, "
                              "previous_secret_id = null, previous_used_at = null where group_id = $1 and topic = $2", schema)),
      in_use_(with_schema("update {schema}.recipes set previous_used_at = clock_timestamp() where group_id = $1 and topic = $2", schema)),
      enter_(with_schema("insert into {schema}.handlers (group_id, handler, instance, topics, strategy, build, scope, tenancy, secret_id) "
                         "values ($1, $2, $3, $4::text[], $5, $6, $7, $8, $9) "
                         "on conflict (group_id, handler, instance) do update set topics = excluded.topics, strategy = excluded.strategy, "
                         "build = excluded.build, scope = excluded.scope, tenancy = excluded.tenancy, secret_id = excluded.secret_id, "
                         "running = true, started_at = clock_timestamp(), last_seen = clock_timestamp()", schema)),
      use_(with_schema("update {schema}.recipes r set previous_used_at = clock_timestamp() from {schema}.handlers h where r.group_id = $1 and "
                       "r.previous_handler is not null and h.group_id = $1 and h.instance = $2 and r.topic = any(h.topics) and "
                       "(h.handler, h.scope, h.strategy, h.tenancy, h.secret_id) is distinct from "
                       "(r.handler, r.scope, r.strategy, r.tenancy, r.secret_id)", schema)),
      leave_(with_schema("update {schema}.handlers set running = false, last_seen = clock_timestamp() where group_id = $1 and instance = $2", schema)),
      seen_(with_schema("update {schema}.handlers set last_seen = clock_timestamp() where group_id = $1 and instance = $2", schema)),
      forget_(with_schema("delete from {schema}.handlers where group_id = $1 and last_seen < clock_timestamp() - interval '7 days'", schema)),
      keys_(with_schema("select coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint, count(*) from {schema}.key_generations g "
                        "join pg_class c on c.relname = g.table_name and c.relnamespace = to_regnamespace('{schema}')", schema)) {}

namespace {
// Arguments of the statements that store recipes, in the order of their columns.
std::vector<std::optional<std::string>> columns_of(const std::string& group, const std::string& topic, const core::KeyRecipes& recipes) {
  const auto& n = recipes.now;
  std::vector<std::optional<std::string>> arguments{group, topic, n.handler, n.scope, n.strategy, n.tenancy, n.secret_id};
  if (const auto& p = recipes.previous) arguments.insert(arguments.end(), {p->handler, p->scope, p->strategy, p->tenancy, p->secret_id});
  arguments.resize(12);
  return arguments;
}
}  // namespace

// Lock first, read in a further statement (B1): another program may be changing the recipe at this moment.
std::optional<std::string> RegistryStore::agree(Connection& c, const std::string& topic, const core::KeyRecipes& declared,
                                                std::chrono::milliseconds window) const {
  using Store = core::RecipeDecision::Store;
  c.exec_params(store_, columns_of(group_, topic, declared));
  c.exec_params(lock_, {group_, topic});
  const auto found = c.exec_params(read_, {group_, topic, std::to_string(window.count())});
  const auto row = found[0];
  Columns columns(row);
  core::StoredRecipes stored;
  stored.recipes = read_recipes(columns);
  stored.previous_expired = columns.flag();
  stored.previous_until = columns.text();
  const auto decision = core::decide(stored, declared);
  if (!decision.refusal.empty()) return decision.refusal;
  if (decision.store == Store::declared) c.exec_params(change_, columns_of(group_, topic, declared));
  if (decision.store == Store::without_previous) c.exec_params(end_change_, {group_, topic});
  if (decision.store == Store::previous_in_use) c.exec_params(in_use_, {group_, topic});
  return std::nullopt;
}

std::optional<RegistryStore::Refusal> RegistryStore::agree_on_recipes(Connection& c, const std::map<std::string, core::KeyRecipes>& declared_by_topic,
                                                                      std::chrono::milliseconds window) const {
  std::optional<Refusal> refusal;
  in_transaction(c, [&] {
    for (const auto& [topic, declared] : declared_by_topic)
      if (const auto why = agree(c, topic, declared, window)) {
        refusal = {topic, *why};
        return false;
      }
    return true;
  });
  return refusal;
}

void RegistryStore::enter(Connection& c, const Registration& r) const {
  in_transaction(c, [&] { c.exec_params(enter_, {group_, r.recipe.handler, r.instance, array_text(r.topics), r.recipe.strategy, r.build,
                                                      r.recipe.scope, r.recipe.tenancy, r.recipe.secret_id}); });
}

void RegistryStore::leave(Connection& c, const std::string& instance) const {
  in_transaction(c, [&] { c.exec_params(leave_, {group_, instance}); });
}

void RegistryStore::seen(Connection& c, const std::string& instance) const {
  in_transaction(c, [&] {
    c.exec_params(seen_, {group_, instance});
    c.exec_params(use_, {group_, instance});
    c.exec_params(forget_, {group_});
  });
}

RegistryStore::Keys RegistryStore::keys(Connection& c) const {
  const auto r = c.exec(keys_);
  return {r[0][0].as<std::int64_t>(), r[0][1].as<std::int64_t>()};
}

}  // namespace deja::postgres
