#pragma once

#include <cstdint>
#include <string>

#include "core/retry_budget.h"
#include "postgres/connection.h"

// The retry budget of a group's handlers, shared by its processes: what each delivered, second by second (R6).

namespace deja::postgres {

/// Threading: any. Errors: whatever libpqxx throws.
class BudgetStore {
 public:
  BudgetStore(const std::string& schema, std::string group);

  /// Adds what this process delivered for the first time. Returns what the fleet did within the window.
  core::RetryBudget::Spent report(Connection& c, const std::string& handler, std::int64_t first_deliveries) const;
  /// A short transaction of its own: takes up to `wanted` tokens. Returns how many there were.
  std::int64_t take(Connection& c, const std::string& handler, std::int64_t wanted, const core::RetryBudget& budget) const;

 private:
  core::RetryBudget::Spent spent(Connection& c, const std::string& handler) const;
  std::string group_, report_, take_, spent_, tidy_;
};

}  // namespace deja::postgres
