#include "postgres/lane_change.h"

#include "postgres/sql.h"

namespace deja::postgres {

void lock_lane(Connection& c, const std::string& schema, std::int32_t lane_id) {
  c.exec_params(with_schema("select 1 from {schema}.lanes where id = $1::int for update", schema), {std::to_string(lane_id)});
}

void raise_parked_version(Connection& c, const std::string& schema, std::int32_t lane_id) {
  c.exec_params(with_schema("update {schema}.lanes set parked_version = parked_version + 1 where id = $1::int", schema), {std::to_string(lane_id)});
}

void raise_aside_version(Connection& c, const std::string& schema, std::int32_t lane_id) {
  c.exec_params(with_schema("update {schema}.lanes set parked_version = parked_version + 1, aside_version = aside_version + 1 where id = $1::int", schema), {std::to_string(lane_id)});
}

}  // namespace deja::postgres
