#include "postgres/dead_letter_admin.h"

#include <map>

#include "postgres/arrays.h"
#include "postgres/columns.h"
#include "postgres/lane_change.h"
#include "postgres/parked_heads.h"
#include "postgres/sql.h"
#include "postgres/transaction_control.h"

namespace deja::postgres {

DeadLetterAdmin::DeadLetterAdmin(Connection& connection, std::string schema) : connection_(connection), schema_(std::move(schema)), keys_(schema_) {}

std::int64_t DeadLetterAdmin::begin_action(const std::string& group, const std::string& kind, const std::string& reason, std::int64_t matched) {
  return in_transaction(connection_, [&] {
    return connection_.exec_params(with_schema("insert into {schema}.dlq_actions (group_id, kind, reason, matched) values ($1, $2, $3, $4::bigint) returning id", schema_),
                                   {group, kind, reason, std::to_string(matched)})
        .at(0)[0]
        .as<std::int64_t>();
  });
}

std::vector<std::int64_t> DeadLetterAdmin::discard(std::int32_t lane_id, const std::vector<std::int64_t>& ids, std::int64_t action) {
  lock_lane(connection_, schema_, lane_id);
  std::vector<std::int64_t> discarded, orderings;
  std::map<core::Uuid, KeyClaim> claims;
  for (const auto& row : connection_.exec_params(
           with_schema("update {schema}.dead_letters set status = 'discarded', action_id = $3::bigint where lane = $1::int and id = any($2::bigint[]) and status = 'open' "
                       "returning id, ordering, coalesce(digest, 0), \"offset\", key, previous_key", schema_),
           {std::to_string(lane_id), array_text(ids), std::to_string(action)})) {
    Columns c(row);
    discarded.push_back(c.number());
    if (const auto ordering = c.maybe_number()) orderings.push_back(*ordering);
    const auto digest = c.number(), offset = c.number();
    for (int recipe = 0; recipe < 2; ++recipe) {
      const auto key = c.maybe_text();
      if (!key) continue;
      const auto uuid = core::parse_uuid(*key).value();
      claims.try_emplace(uuid, KeyClaim{uuid, digest, offset});
    }
  }
  if (discarded.empty()) return discarded;
  std::vector<KeyClaim> keys;
  for (const auto& [key, claim] : claims) keys.push_back(claim);
  if (!keys.empty()) keys_.claim(connection_, keys, lane_id);
  if (!orderings.empty()) connection_.exec_params(mark_heads_sql(schema_), {std::to_string(lane_id), array_text(orderings)});
  connection_.exec_params(with_schema("update {schema}.dlq_actions set accepted = accepted + $2::bigint where id = $1::bigint", schema_),
                          {std::to_string(action), std::to_string(discarded.size())});
  raise_parked_version(connection_, schema_, lane_id);
  return discarded;
}

}  // namespace deja::postgres
