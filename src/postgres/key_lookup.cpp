#include "postgres/key_lookup.h"

#include "postgres/arrays.h"
#include "postgres/columns.h"
#include "postgres/explain.h"
#include "postgres/recipe_columns.h"
#include "postgres/sql.h"

namespace deja::postgres {
KeyLookup::KeyLookup(Connection& connection, std::string schema, std::string group)
    : connection_(connection), schema_(std::move(schema)), group_(std::move(group)) {}

pqxx::result KeyLookup::ask(const std::string& sql, const std::vector<std::optional<std::string>>& arguments) {
  return explained(connection_, [&] { return connection_.exec_params(with_schema(sql, schema_), arguments); });
}

std::vector<RecordedRecipe> KeyLookup::recipes(const std::string& handler) {
  std::vector<RecordedRecipe> all;
  for (const auto& row : ask("select distinct group_id, " + std::string(recipe_columns) + " from {schema}.recipes where ($1 = '' or group_id = $1) and "
                             "($2 = '' or handler = $2) order by 1, 2, 3, 4",
                             {group_, handler})) {
    Columns columns(row);
    RecordedRecipe found;
    found.group = columns.text();
    found.recipes = read_recipes(columns);
    all.push_back(std::move(found));
  }
  return all;
}

std::optional<CommittedKey> KeyLookup::committed(const core::Uuid& key) {
  for (const auto& generation : ask("select id, table_name from {schema}.key_generations order by id", {})) {
    const auto id = generation[0].as<std::int64_t>();
    const auto rows = ask("select k.lane, l.topic, l.partition, k.\"offset\", k.digest, " + utc("k.at") + " from {schema}." +
                              connection_.quote_name(generation[1].c_str()) + " k left join {schema}.lanes l on l.id = k.lane where k.key = $1::uuid",
                          {core::to_text(key)});
    if (rows.empty()) continue;
    const auto row = rows[0];
    Columns columns(row);
    CommittedKey found;
    found.generation = id;
    found.lane = static_cast<std::int32_t>(columns.number());
    found.topic = columns.maybe_text();
    found.partition = columns.maybe_number();
    found.offset = columns.number();
    found.digest = columns.number();
    found.at = columns.text();
    return found;
  }
  return std::nullopt;
}

std::vector<LetterOfKey> KeyLookup::letters(const std::string& group, const std::vector<core::Uuid>& keys) {
  std::vector<LetterOfKey> all;
  for (const auto& row : ask("select id, cause, status, topic, partition, \"offset\", digest, " + utc("dead_at") +
                                 ", replays from {schema}.dead_letters where key = any($1::uuid[]) and group_id = $2 order by id",
                             {array_text(keys), group})) {
    Columns columns(row);
    LetterOfKey letter;
    letter.id = columns.number();
    letter.cause = columns.text();
    letter.status = columns.text();
    letter.topic = columns.text();
    letter.partition = columns.number();
    letter.offset = columns.number();
    letter.digest = columns.maybe_number();
    letter.at = columns.text();
    letter.replays = columns.number();
    all.push_back(std::move(letter));
  }
  return all;
}

std::optional<ParkedKey> KeyLookup::parked(const std::string& group, const std::vector<core::Uuid>& keys) {
  const auto rows = ask("select topic, partition, \"offset\", digest, " + utc("first_seen") + " from {schema}.parked where key = any($1::uuid[]) and group_id = $2 order by id limit 1",
                        {array_text(keys), group});
  if (rows.empty()) return std::nullopt;
  const auto row = rows[0];
  Columns columns(row);
  ParkedKey found;
  found.topic = columns.text();
  found.partition = columns.number();
  found.offset = columns.number();
  found.digest = columns.maybe_number();
  found.first_seen = columns.text();
  return found;
}

std::vector<core::Uuid> KeyLookup::events(std::int32_t lane, const std::vector<core::Uuid>& ids) {
  std::vector<core::Uuid> found;
  for (const auto& row : ask("select event_id from (select seq, event_id from {schema}.outbox where lane = $1::int and event_id = any($2::uuid[]) union "
                             "select seq, event_id from {schema}.outbox_stuck where lane = $1::int and event_id = any($2::uuid[])) e order by seq",
                             {std::to_string(lane), array_text(ids)}))
    found.push_back(core::parse_uuid(row[0].c_str()).value());
  return found;
}

}  // namespace deja::postgres
