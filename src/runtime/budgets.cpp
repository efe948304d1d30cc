#include "runtime/budgets.h"

#include <utility>

namespace deja::runtime {

void Budgets::delivered(const std::string& handler, std::int64_t first_deliveries) {
  if (first_deliveries == 0) return;
  const std::lock_guard lock(mutex_);
  unreported_[handler] += first_deliveries;
}

std::int64_t Budgets::take_unreported(const std::string& handler) {
  const std::lock_guard lock(mutex_);
  return std::exchange(unreported_[handler], 0);
}

void Budgets::seen(const std::string& handler, const core::RetryBudget::Spent& spent) {
  const core::BudgetStatus status{handler, budget_.tokens(spent), core::amplification(spent)};
  metrics_.gauge("deja_retry_budget_tokens", {handler}).set(static_cast<double>(status.tokens));
  metrics_.gauge("deja_retry_amplification_ratio", {handler}).set(status.amplification);
  const std::lock_guard lock(mutex_);
  seen_[handler] = status;
}

std::vector<core::BudgetStatus> Budgets::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<core::BudgetStatus> all;
  for (const auto& [handler, status] : seen_) all.push_back(status);
  return all;
}

}  // namespace deja::runtime
