#include "postgres/flood_store.h"

#include "core/flood_guard.h"
#include "postgres/arrays.h"
#include "postgres/sql.h"
#include "postgres/transaction_control.h"
#include "postgres/values.h"

namespace deja::postgres {

FloodStore::FloodStore(const std::string& schema, std::string group, std::string instance, std::chrono::milliseconds window)
    : group_(std::move(group)), instance_(std::move(instance)), window_(text(window.count())) {
  show_ = with_schema("insert into {schema}.floods (group_id, instance, handler, state, since, cause, fingerprint) "
                      "values ($1, $2, $3, $4, to_timestamp($5::float8 / 1000), nullif($6, ''), nullif($7, '')) "
                      "on conflict (group_id, handler, instance) do update set state = excluded.state, since = excluded.since, cause = excluded.cause, "
                      "fingerprint = excluded.fingerprint, seen_at = clock_timestamp()", schema);
  seen_ = with_schema("update {schema}.flood_rulings set seen_at = clock_timestamp() where group_id = $1 and handler = $2 and fingerprint = $3 and ruling = $4", schema);
  forget_ = with_schema("delete from {schema}.flood_rulings where group_id = $1 and seen_at < clock_timestamp() - greatest($2::bigint, 60000) * interval '1 millisecond'", schema);
  rulings_ = with_schema("select handler, fingerprint, ruling = 'poison' from {schema}.flood_rulings where group_id = $1", schema);
  leave_ = with_schema("delete from {schema}.floods where group_id = $1 and (instance = $2 or seen_at < clock_timestamp() - interval '7 days')", schema);
}

std::vector<FloodRuling> FloodStore::sync(Connection& c, const std::vector<core::FloodStatus>& floods) const {
  std::vector<FloodRuling> rulings;
  in_transaction(c, [&] {
    for (const auto& f : floods) {
      c.exec_params(show_, {group_, instance_, f.handler, f.state, text(f.since_ms), f.cause, f.fingerprint});
      if (f.state != core::in_words(core::FloodState::watching)) c.exec_params(seen_, {group_, f.handler, f.fingerprint, f.state});
    }
    for (const auto& r : c.exec_params(rulings_, {group_})) rulings.push_back({r[0].c_str(), r[1].c_str(), r[2].as<bool>()});
    c.exec_params(forget_, {group_, window_});
  });
  return rulings;
}

void FloodStore::leave(Connection& c) const {
  in_transaction(c, [&] { c.exec_params(leave_, {group_, instance_}); });
}

void FloodStore::rule(Connection& c, const std::string& schema, const std::string& group, const std::string& handler, const std::vector<std::string>& fingerprints, bool poison,
                      const std::string& reason) {
  c.exec_params(with_schema("insert into {schema}.flood_rulings (group_id, handler, fingerprint, ruling, reason) select $1, $2, f, $3, $4 from unnest($5::text[]) f order by f "
                            "on conflict (group_id, handler, fingerprint) do update set ruling = excluded.ruling, reason = excluded.reason, seen_at = clock_timestamp()", schema),
                {group, handler, poison ? "poison" : "outage", reason, array_text(fingerprints)});
}

}  // namespace deja::postgres
