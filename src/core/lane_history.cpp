#include "core/lane_history.h"

#include <algorithm>

namespace deja::core {

void LaneHistory::add(const LaneMove& move) {
  if (move.new_log) {
    skipped_.clear();
    start_ = move.new_log->start;
    log_since_ = move.new_log->at;
    first_event_seq_ = move.new_log->next_event_seq;
    skip(start_, move.to);
  } else if (move.to > move.from) {
    skip(move.from, move.to);
  } else {
    read_again_from(move.to);
  }
}

bool LaneHistory::skips(std::int64_t offset) const {
  return std::any_of(skipped_.begin(), skipped_.end(), [&](const Range& range) { return offset >= range.from && offset < range.until; });
}

void LaneHistory::skip(std::int64_t from, std::int64_t until) {
  if (from < until) skipped_.push_back({from, until});
}

void LaneHistory::read_again_from(std::int64_t offset) {
  start_ = std::min(start_, offset);
  for (auto& range : skipped_) range.until = std::min(range.until, offset);
  std::erase_if(skipped_, [](const Range& range) { return range.from >= range.until; });
}

}  // namespace deja::core
