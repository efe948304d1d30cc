#include "postgres/records_of_lanes.h"

#include "postgres/arrays.h"
#include "postgres/sql.h"

namespace deja::postgres {

std::string waiting_sql(const std::string& schema, const std::string& table, const std::string& since, const std::string& condition) {
  return with_schema("select topic, handler, count(*), extract(epoch from clock_timestamp() - min(" + since + "))::float8 from {schema}." + table +
                     " where lane = any($1::int[]) and " + condition + " group by 1, 2", schema);
}

std::vector<WaitingRecords> read_waiting(Connection& c, const std::string& sql, const std::vector<std::int32_t>& lanes) {
  std::vector<WaitingRecords> all;
  for (const auto& r : c.exec_params(sql, {array_text(lanes)})) all.push_back({r[0].c_str(), r[1].c_str(), r[2].as<std::int64_t>(), r[3].as<double>()});
  return all;
}

std::string offsets_sql(const std::string& schema, const std::string& table) {
  return with_schema("select t.\"offset\" from {schema}." + table + " t join {schema}.lanes l on l.id = $1::int and t.group_id = l.group_id and "
                     "t.topic = l.topic and t.partition = l.partition and t.incarnation = l.incarnation "
                     "where t.\"offset\" >= $2::bigint and t.\"offset\" < $3::bigint", schema);
}

std::vector<std::int64_t> read_offsets(Connection& c, const std::string& sql, const LaneState& lane, std::int64_t first, std::int64_t until) {
  std::vector<std::int64_t> found;
  for (const auto& r : c.exec_params(sql, {std::to_string(lane.id), std::to_string(first), std::to_string(until)})) found.push_back(r[0].as<std::int64_t>());
  return found;
}

}  // namespace deja::postgres
