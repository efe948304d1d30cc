#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "postgres/connection.h"
#include "postgres/key_store.h"

// What operators do with dead letters (D1).

namespace deja::postgres {

/// Threading: one thread. Throws whatever libpqxx throws.
class DeadLetterAdmin {
 public:
  DeadLetterAdmin(Connection& connection, std::string schema);

  /// A transaction of its own: so many dead letters are meant. Returns the action's number.
  std::int64_t begin_action(const std::string& group, const std::string& kind, const std::string& reason, std::int64_t matched);

  /// In the caller's transaction: open dead letters of one lane take no effect any more. Their keys are claimed where nobody has them, so
  /// that no twin takes effect later (B4), and what waits behind them alone is due. Returns those that were open.
  std::vector<std::int64_t> discard(std::int32_t lane_id, const std::vector<std::int64_t>& ids, std::int64_t action);

 private:
  Connection& connection_;
  std::string schema_;
  KeyStore keys_;
};

}  // namespace deja::postgres
