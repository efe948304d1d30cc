#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "postgres/connection.h"
#include "postgres/key_store.h"

// What operators do with dead letters where they lie (D1). Replays: replay_admin.h.

namespace deja::postgres {

/// Threading: one thread. Throws whatever libpqxx throws.
class DeadLetterAdmin {
 public:
  DeadLetterAdmin(Connection& connection, std::string schema);

  /// A transaction of its own: so many dead letters are meant. Returns the action's number.
  std::int64_t begin_action(const std::string& group, const std::string& kind, const std::string& reason, std::int64_t matched);
  /// A transaction of its own: so many had another fate.
  void end_action(std::int64_t action, std::int64_t refused);
  /// A transaction of its own: it went no further. Without a connection it stays as it is: what was changed is in the audit log.
  void stop_action(std::int64_t action, std::int64_t refused, const std::string& cause) noexcept;

  /// In the caller's transaction: open dead letters of one lane take no effect any more. Their keys are claimed where nobody has them, so
  /// that no twin takes effect later (B4), and what waits behind them alone is due. Returns those that were open.
  std::vector<std::int64_t> discard(std::int32_t lane_id, const std::vector<std::int64_t>& ids, std::int64_t action);
  /// In the caller's transaction: discarded ones are open again, and the keys that their discard claimed are free (B4). Returns those that were.
  std::vector<std::int64_t> restore(std::int32_t lane_id, const std::vector<std::int64_t>& ids, std::int64_t action);

  /// In the caller's transaction: an open one gets another value and other headers, and keeps the key that it came under. False: it is not
  /// open any more, or not as it was read (`before`).
  struct Content {
    std::optional<std::string> value;
    std::string headers;  ///< core/header_json.h
  };
  bool edit(std::int64_t id, const Content& before, const Content& after, std::int64_t action);

 private:
  void finish(std::int64_t action, std::int64_t refused, const char* state, const std::optional<std::string>& cause);
  struct Changed;
  Changed change(std::int32_t lane_id, const std::vector<std::int64_t>& ids, std::int64_t action, const std::string& from, const std::string& to);

  Connection& connection_;
  std::string schema_;
  KeyStore keys_;
};

}  // namespace deja::postgres
