#pragma once

#include <cstdint>
#include <functional>
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

struct AuditRow {
  std::int64_t id = 0;
  std::string at, who, action;  ///< RFC 3339 in UTC; the login
  std::optional<std::string> group;
  std::string reason, detail, hash;  ///< the hash in hex
};

/// Errors: whatever libpqxx throws.
class AuditLogStore {
 public:
  explicit AuditLogStore(const std::string& schema);

  /// Adds a row inside the caller's transaction, so that what was done and its record are committed together; who and when are the
  /// server's to say. Appenders wait for each other until they commit: make it one of the last statements. Returns the row's id.
  std::int64_t append(Connection& c, const AuditEntry& entry) const;

  /// Oldest first, a page at a time; `visit` returns false to stop. `group` empty: all of them.
  void read(Connection& c, const std::string& group, const std::function<bool(const AuditRow&)>& visit) const;

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
  std::string append_, count_, read_, verify_;
};

}  // namespace deja::postgres
