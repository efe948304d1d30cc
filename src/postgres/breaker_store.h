#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/status.h"
#include "postgres/connection.h"

// The breakers of a group's processes, for operators: each process shows its own, and takes up what an operator asks for.

namespace deja::postgres {

/// Threading: any. Errors: whatever libpqxx throws.
class BreakerStore {
 public:
  BreakerStore(const std::string& schema, std::string group, std::string instance);

  struct Named {
    std::string dependency, handler;
  };
  /// Shows the process's breakers as they are now. Returns those that an operator has asked to close since the last time.
  std::vector<Named> sync(Connection& c, const std::vector<core::BreakerStatus>& breakers) const;
  /// The process ends. One that was killed is not seen any more; its rows go with somebody else's after a week.
  void leave(Connection& c) const;

  /// For an operator, in the caller's transaction: asks every process of the group that is alive. `handler` empty: of every handler.
  static void ask_to_close(Connection& c, const std::string& schema, const std::string& group, const std::string& dependency, const std::string& handler);

 private:
  std::string group_, instance_, show_, take_, leave_;
};

}  // namespace deja::postgres
