#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "postgres/connection.h"

// What operators did and what the runtime had to decide for them: rows that are only ever added, chained by their hashes.

namespace deja::postgres {

struct AuditEntry {
  std::string action;  ///< in the words of the command: "lanes reset"
  std::string group;   ///< empty: of no group
  std::string reason;  ///< in words
  std::string detail;  ///< a JSON object: what was before and what is after
};

/// Errors: whatever libpqxx throws.
class AuditLogStore {
 public:
  explicit AuditLogStore(const std::string& schema);

  /// Adds a row inside the caller's transaction, so that what was done and its record are committed together; who and when are the
  /// server's to say. Appenders wait for each other until they commit: make it one of the last statements. Returns the row's id.
  std::int64_t append(Connection& c, const AuditEntry& entry) const;

  struct BrokenLink {
    std::int64_t id = 0;  ///< the first row that does not fit
    std::string what;     ///< in words
  };
  struct Verdict {
    std::int64_t rows = 0;
    std::optional<BrokenLink> broken;  ///< nothing: every row is as it was written, and none is missing before the last one
  };
  Verdict verify(Connection& c) const;

 private:
  std::string append_, count_, verify_;
};

}  // namespace deja::postgres
