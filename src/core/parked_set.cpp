#include "core/parked_set.h"

#include <algorithm>

namespace deja::core {

void ParkedSet::add(const ParkedRecord& record) {
  remove(record.id);
  records_.emplace(record.id, record);
  if (record.ordering) ++by_ordering_[*record.ordering];
  for (const auto& key : {record.key, record.previous_key})
    if (key) by_key_.emplace(*key, record.id);
  if (record.due) enter(record);
}

void ParkedSet::enter(const ParkedRecord& record) {
  due_.emplace(*record.due, record.id);
  if (!record.again) due_first_.emplace(*record.due, record.id);
}

void ParkedSet::leave(const ParkedRecord& record) {
  if (!record.due) return;
  due_.erase({*record.due, record.id});
  due_first_.erase({*record.due, record.id});
}

void ParkedSet::remove(std::int64_t id) {
  const auto found = records_.find(id);
  if (found == records_.end()) return;
  const auto& record = found->second;
  if (record.ordering)
    if (const auto at = by_ordering_.find(*record.ordering); --at->second == 0) by_ordering_.erase(at);
  for (const auto& key : {record.key, record.previous_key}) {
    if (!key) continue;
    auto [at, end] = by_key_.equal_range(*key);
    while (at != end) at = at->second == id ? by_key_.erase(at) : std::next(at);
  }
  leave(record);
  records_.erase(found);
}

void ParkedSet::set_due(std::int64_t id, Steady::time_point due) {
  const auto found = records_.find(id);
  if (found == records_.end()) return;
  auto& record = found->second;
  leave(record);
  record.due = due;
  enter(record);
}

void ParkedSet::failed_again(std::int64_t id) {
  const auto found = records_.find(id);
  if (found == records_.end()) return;
  auto& record = found->second;
  record.suspect = false;
  record.again = record.tried = true;
  if (record.due) due_first_.erase({*record.due, id});
}

void ParkedSet::still_tried(const ParkedSet& before) {
  for (auto& [id, record] : records_)
    if (const auto* known = before.find(id)) record.tried = known->tried;
}

void ParkedSet::hold(std::uint64_t ordering, std::int64_t offset) {
  const auto [at, added] = held_.try_emplace(ordering, offset);
  if (!added) at->second = std::min(at->second, offset);
}

bool ParkedSet::held(std::uint64_t ordering, std::int64_t offset) const {
  const auto found = held_.find(ordering);
  return found != held_.end() && found->second < offset;
}

std::size_t ParkedSet::count(std::uint64_t ordering) const {
  const auto found = by_ordering_.find(ordering);
  return found == by_ordering_.end() ? 0 : found->second;
}

const ParkedRecord* ParkedSet::twin(const Uuid& key, std::int64_t digest) const {
  for (auto [at, end] = by_key_.equal_range(key); at != end; ++at)
    if (const auto& record = records_.at(at->second); record.digest == digest) return &record;
  return nullptr;
}

const ParkedRecord* ParkedSet::find(std::int64_t id) const {
  const auto found = records_.find(id);
  return found == records_.end() ? nullptr : &found->second;
}

std::optional<Steady::time_point> ParkedSet::next_due(bool again) const {
  const auto& due = again ? due_ : due_first_;
  return due.empty() ? std::nullopt : std::optional(due.begin()->first);
}

std::vector<std::int64_t> ParkedSet::due(Steady::time_point now, std::size_t most, bool again) const {
  std::vector<std::int64_t> ids;
  for (const auto& [time, id] : again ? due_ : due_first_) {
    if (time > now || ids.size() >= most) break;
    if (records_.at(id).suspect) {
      if (ids.empty()) ids.push_back(id);
      break;
    }
    ids.push_back(id);
  }
  return ids;
}

}  // namespace deja::core
