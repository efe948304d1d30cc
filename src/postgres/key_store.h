#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "core/uuid.h"
#include "postgres/connection.h"

// Idempotency keys: a row means "effect committed", nothing else (B3).

namespace deja::postgres {

struct KeyClaim {
  core::Uuid key;
  std::int64_t digest = 0;
  std::int64_t offset = 0;
};

/// Where a key's effect was committed.
struct KeyHolder {
  std::int64_t digest = 0;
  std::int32_t lane = 0;
  std::int64_t offset = 0;
  double age_seconds = 0;  // by the database's clock
  std::string topic;
  std::int32_t partition = -1;
};

class KeyStore {
 public:
  explicit KeyStore(const std::string& schema);

  /// Claims all in one statement, sorted so that two batches cannot deadlock. Each key at most once. Returns the fresh ones;
  /// waits for transactions that hold one of them.
  std::unordered_set<core::Uuid, core::UuidHash> claim(Connection& c, std::vector<KeyClaim> claims, std::int32_t lane) const;
  /// A statement of its own after claim(): it must see what the claim waited for (B1).
  std::unordered_map<core::Uuid, KeyHolder, core::UuidHash> holders(Connection& c, const std::vector<core::Uuid>& keys) const;
  /// Undoes claims of this transaction whose record failed.
  void release(Connection& c, const std::vector<core::Uuid>& keys) const;
  /// Only where the records of these offsets have them.
  void release_of(Connection& c, const std::vector<KeyClaim>& claims, std::int32_t lane) const;

 private:
  std::string claim_, holders_, release_, release_of_;
};

}  // namespace deja::postgres
