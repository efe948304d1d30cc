#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "core/metrics.h"
#include "core/retry_budget.h"
#include "core/status.h"

namespace deja::runtime {

/// The retry budgets of a process's handlers, as far as this process knows them. Any thread.
class Budgets {
 public:
  Budgets(core::RetryBudget budget, core::Metrics& metrics) : budget_(budget), metrics_(metrics) {}

  const core::RetryBudget& budget() const { return budget_; }
  void delivered(const std::string& handler, std::int64_t first_deliveries);
  /// What was delivered since the last call, which the caller is to report; 0: nothing.
  std::int64_t take_unreported(const std::string& handler);
  /// What the fleet did within the window, the gauges from it.
  void seen(const std::string& handler, const core::RetryBudget::Spent& spent);
  std::vector<core::BudgetStatus> all() const;

 private:
  const core::RetryBudget budget_;
  core::Metrics& metrics_;
  mutable std::mutex mutex_;
  std::map<std::string, std::int64_t> unreported_;
  std::map<std::string, core::BudgetStatus> seen_;
};

}  // namespace deja::runtime
