#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/key_change.h"
#include "core/uuid.h"
#include "postgres/connection.h"

// Dead letters that come from elsewhere: another framework's topic, another database.

namespace deja::postgres {

/// Where a group has a partition's records.
struct ImportTarget {
  std::string handler;
  bool key_free = false;  ///< nothing would tell that a record ran before
  core::KeyRecipes recipes;
  std::string ordering;   ///< in words, as lanes have it
  struct Lane {
    std::int32_t id = 0;
    std::int64_t start_offset = 0, next_offset = 0;
  };
  std::vector<Lane> lanes;  ///< in their order
};

struct ImportedLetter {
  std::int64_t offset = 0;
  std::optional<std::string> record_key, value;
  std::string headers;  ///< core/header_json.h
  std::int64_t timestamp_ms = 0, attempts = 1;
  std::optional<std::uint64_t> ordering;
  std::optional<core::Uuid> key;  ///< where it is known here
  std::int64_t digest = 0;
  std::string error, fingerprint;
};

/// Threading: one thread. Throws whatever libpqxx throws.
class DeadLetterImport {
 public:
  DeadLetterImport(Connection& connection, std::string schema, std::string group);

  /// Nothing: the group has no lanes for the partition, or nobody handles the topic.
  std::optional<ImportTarget> target(const std::string& topic, std::int32_t partition);

  /// In the caller's transaction: they become open dead letters of the lane, under the cause `imported`. One that is there already, dead or
  /// parked, is left to its row (D2), and one that took effect itself is none. Returns the offsets of the others.
  std::vector<std::int64_t> insert(std::int32_t lane_id, const std::string& handler, const std::vector<ImportedLetter>& letters, std::int64_t action);

 private:
  Connection& connection_;
  std::string schema_, group_;
};

}  // namespace deja::postgres
