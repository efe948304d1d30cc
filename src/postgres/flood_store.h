#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "core/status.h"
#include "postgres/connection.h"

// The flood guards of a group's processes, for operators: each process shows its own, and takes up what an operator says of a cause.

namespace deja::postgres {

struct FloodRuling {
  std::string handler, fingerprint;
  bool poison = false;  ///< else an outage
};

/// Threading: any. Errors: whatever libpqxx throws.
class FloodStore {
 public:
  /// `window`: a ruling on a cause that was not seen for so long is forgotten.
  FloodStore(const std::string& schema, std::string group, std::string instance, std::chrono::milliseconds window);

  /// Shows the process's guards as they are now, and what is ruled to be poison as seen. Returns the rulings there are.
  std::vector<FloodRuling> sync(Connection& c, const std::vector<core::FloodStatus>& floods) const;
  /// The process ends. One that was killed is not seen any more; its rows go with somebody else's after a week.
  void leave(Connection& c) const;

  /// For an operator, in the caller's transaction.
  static void rule(Connection& c, const std::string& schema, const std::string& group, const std::string& handler, const std::vector<std::string>& fingerprints, bool poison,
                   const std::string& reason);

 private:
  std::string group_, instance_, window_, show_, seen_, forget_, rulings_, leave_;
};

}  // namespace deja::postgres
