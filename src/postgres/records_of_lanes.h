#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "postgres/connection.h"
#include "postgres/lane_store.h"

// What the tables of parked records and of dead letters are both asked: how many wait, and which of a range of offsets they have.

namespace deja::postgres {

struct WaitingRecords {
  std::string topic, handler;
  std::int64_t records = 0;
  double oldest_age_seconds = 0;
};

/// For read_waiting(): those that fit `condition`, their age counted from the column `since`.
std::string waiting_sql(const std::string& schema, const std::string& table, const std::string& since, const std::string& condition);
/// Of these lanes, by topic and handler.
std::vector<WaitingRecords> read_waiting(Connection& c, const std::string& sql, const std::vector<std::int32_t>& lanes);

/// For read_offsets().
std::string offsets_sql(const std::string& schema, const std::string& table);
/// Of the partition's records in its present log from `first` to before `until`.
std::vector<std::int64_t> read_offsets(Connection& c, const std::string& sql, const LaneState& lane, std::int64_t first, std::int64_t until);

}  // namespace deja::postgres
