#include "postgres/key_store.h"

#include <algorithm>

#include "postgres/arrays.h"
#include "postgres/sql.h"

namespace deja::postgres {

KeyStore::KeyStore(const std::string& schema)
    : claim_(with_schema("insert into {schema}.keys_1 (key, digest, lane, \"offset\") "
                         "select k, d, $4::int, o from unnest($1::uuid[], $2::bigint[], $3::bigint[]) as t(k, d, o) "
                         "on conflict do nothing returning key", schema)),
      holders_(with_schema("select k.key, k.digest, k.lane, k.\"offset\", extract(epoch from clock_timestamp() - k.at)::float8, l.topic, l.partition "
                           "from {schema}.keys_1 k left join {schema}.lanes l on l.id = k.lane where k.key = any($1::uuid[])", schema)),
      release_(with_schema("delete from {schema}.keys_1 where key = any($1::uuid[])", schema)),
      release_of_(with_schema("delete from {schema}.keys_1 k using unnest($1::uuid[], $2::bigint[]) w(key, o) where k.key = w.key and k.lane = $3::int and k.\"offset\" = w.o", schema)) {}

std::unordered_set<core::Uuid, core::UuidHash> KeyStore::claim(Connection& c, std::vector<KeyClaim> claims, std::int32_t lane) const {
  std::sort(claims.begin(), claims.end(), [](const KeyClaim& a, const KeyClaim& b) { return a.key < b.key; });
  const auto result = c.exec_params(
      claim_, {array_text(claims, [](const KeyClaim& k) { return core::to_text(k.key); }),
               array_text(claims, [](const KeyClaim& k) { return std::to_string(k.digest); }),
               array_text(claims, [](const KeyClaim& k) { return std::to_string(k.offset); }), std::to_string(lane)});
  std::unordered_set<core::Uuid, core::UuidHash> fresh;
  fresh.reserve(static_cast<std::size_t>(result.size()));
  for (const auto& row : result) fresh.insert(core::parse_uuid(row[0].c_str()).value());
  return fresh;
}

std::unordered_map<core::Uuid, KeyHolder, core::UuidHash> KeyStore::holders(Connection& c, const std::vector<core::Uuid>& keys) const {
  std::unordered_map<core::Uuid, KeyHolder, core::UuidHash> found;
  for (const auto& r : c.exec_params(holders_, {array_text(keys)})) {
    KeyHolder holder;
    holder.digest = r[1].as<std::int64_t>();
    holder.lane = r[2].as<std::int32_t>();
    holder.offset = r[3].as<std::int64_t>();
    holder.age_seconds = std::max(0.0, r[4].as<double>());
    if (!r[5].is_null()) holder.topic = r[5].c_str();
    if (!r[6].is_null()) holder.partition = r[6].as<std::int32_t>();
    found.emplace(core::parse_uuid(r[0].c_str()).value(), std::move(holder));
  }
  return found;
}

void KeyStore::release(Connection& c, const std::vector<core::Uuid>& keys) const { c.exec_params(release_, {array_text(keys)}); }

void KeyStore::release_of(Connection& c, const std::vector<KeyClaim>& claims, std::int32_t lane) const {
  c.exec_params(release_of_, {array_text(claims, [](const KeyClaim& k) { return core::to_text(k.key); }),
                              array_text(claims, [](const KeyClaim& k) { return std::to_string(k.offset); }), std::to_string(lane)});
}

}  // namespace deja::postgres
