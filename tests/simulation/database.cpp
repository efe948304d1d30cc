#include "simulation/database.h"

#include <algorithm>

namespace deja::simulation {

core::ParkedRecord remembered(const ParkedRow& row, Time now) {
  core::ParkedRecord r;
  r.id = row.id;
  r.offset = row.record->offset;
  r.ordering = row.record->ordering;
  r.key = row.record->key;
  r.digest = row.record->digest;
  r.due = row.wanted != Wanted::nothing ? std::optional(now) : row.next_at;
  r.suspect = row.suspect;
  r.again = row.attempts > 0 && row.wanted == Wanted::nothing;
  r.size = 1;
  return r;
}

std::vector<const ParkedRow*> Database::Lane::behind(const LogRecord& record) const {
  std::vector<const ParkedRow*> rows;
  for (const auto& [id, other] : parked)
    if (other.record->ordering == record.ordering && other.record->partition == record.partition && other.record->offset > record.offset) rows.push_back(&other);
  std::sort(rows.begin(), rows.end(), [](const auto* a, const auto* b) { return a->record->offset < b->record->offset; });
  return rows;
}

core::RetryBudget::Spent Database::spent(Time now, std::chrono::seconds window) const {
  core::RetryBudget::Spent sum;
  for (auto at = budget.upper_bound(second_of(now) - window.count()); at != budget.end(); ++at) {
    sum.first_deliveries += at->second.first_deliveries;
    sum.redeliveries += at->second.redeliveries;
  }
  return sum;
}

std::int64_t second_of(Time time) { return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count(); }

}  // namespace deja::simulation
