#include <algorithm>

#include "runtime/lane.h"

// The lane as other threads see it: the polling thread feeds it, the supervisor and the operators look at it.

namespace deja::runtime {

void Lane::accept() {
  const std::lock_guard lock(mutex_);
  // a late request of an earlier take-over must not queue its records a second time
  queue_.clear();
  queue_bytes_ = 0;
  accepting_ = owned_;
}

Lane::Pushed Lane::push(core::SourceRecord record) {
  const std::lock_guard lock(mutex_);
  if (!accepting_ || close_by_ || lost_) return Pushed::dropped;
  queue_bytes_ += record.size;
  queue_.push_back(std::move(record));
  return queue_.size() == 1 ? Pushed::first_in_queue : Pushed::queued;
}

std::size_t Lane::queued() const {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

std::size_t Lane::queued_bytes() const {
  const std::lock_guard lock(mutex_);
  return queue_bytes_;
}

Lane::Reached Lane::freeze() {
  const std::lock_guard lock(mutex_);
  frozen_ = true;
  if (!owned_ || !accepting_) return {};
  const bool busy = running_ || unsettled_;
  return {busy ? std::max(row_.next_offset, taken_until_) : row_.next_offset, !busy && queue_.empty()};
}

void Lane::close(core::Steady::time_point deadline, std::int64_t until) {
  {
    const std::lock_guard lock(mutex_);
    frozen_ = false;
    if (close_by_) {
      // Asked once more (a partition is revoked, and then the process is stopped), only the time may change: what was queued beyond the first
      // `until` was dropped, and is nobody's any more.
      close_by_ = std::min(*close_by_, deadline);
    } else {
      close_by_ = deadline;
      close_at_ = accepting_ && !lost_ ? until : -1;
      while (!queue_.empty() && queue_.back().view.offset >= close_at_) {
        queue_bytes_ -= std::min(queue_bytes_, queue_.back().size);
        queue_.pop_back();
      }
    }
  }
  scheduler_.wake(shared_from_this());
}

void Lane::log_lost(std::string error, bool certain) {
  {
    const std::lock_guard lock(mutex_);
    if (!owned_ || close_by_) return;
    lost_ = Loss{std::move(error), certain, false};
    accepting_ = false;
    queue_.clear();
    queue_bytes_ = 0;
  }
  scheduler_.wake(shared_from_this());
}

bool Lane::stopped() const {
  const std::lock_guard lock(mutex_);
  return lost_.has_value();
}

Lane::Progress Lane::progress() const {
  const std::lock_guard lock(mutex_);
  if (!owned_) return {};
  return {row_.next_offset, row_.token};
}

std::optional<postgres::LaneState> Lane::settled_row() const {
  const std::lock_guard lock(mutex_);
  if (!owned_ || running_ || advancing_ || closed_) return std::nullopt;
  return row_;
}

std::optional<postgres::LaneState> Lane::last_row() const {
  const std::lock_guard lock(mutex_);
  return owned_ ? std::optional(row_) : std::nullopt;
}

std::int64_t Lane::position() const {
  const auto consumed = feed_->consumed.load();  // before the queue is looked at: what is below it was queued
  const std::lock_guard lock(mutex_);
  if (!owned_) return -1;
  const bool idle = accepting_ && !running_ && !unsettled_ && !lost_ && queue_.empty();
  return idle ? std::max(row_.next_offset, consumed) : row_.next_offset;
}

std::optional<postgres::LaneStore::IdleLane> Lane::begin_advance() {
  const auto consumed = feed_->consumed.load();
  const std::lock_guard lock(mutex_);
  if (!owned_ || !accepting_ || running_ || unsettled_ || verify_ || close_by_ || lost_ || !queue_.empty() || consumed <= row_.next_offset)
    return std::nullopt;
  advancing_ = true;
  return postgres::LaneStore::IdleLane{row_, consumed, std::nullopt};
}

void Lane::end_advance(const postgres::LaneStore::IdleLane& lane, std::optional<bool> moved) {
  bool woken;
  {
    const std::lock_guard lock(mutex_);
    advancing_ = false;
    if (moved.value_or(false)) {
      row_.batch_seq += 1;
      row_.next_offset = lane.next_offset;
      if (lane.witness) row_.witness = lane.witness;
    } else if (!moved) {
      mark_in_doubt_ = verify_ = unsettled_ = true;
    }
    woken = std::exchange(woken_, false) || !moved;
  }
  if (woken) scheduler_.wake(shared_from_this());
}

core::LaneStatus Lane::status() const {
  const std::lock_guard lock(mutex_);
  core::LaneStatus s;
  s.topic = partition_.topic;
  s.partition = partition_.number;
  s.lane = number_;
  s.state = close_by_ ? "draining" : lost_ ? "stopped" : owned_ ? "owned" : "taking over";
  s.owner_epoch = row_.owner_epoch;
  s.next_offset = owned_ ? row_.next_offset : -1;
  s.queued_records = static_cast<std::int64_t>(queue_.size());
  s.parked_records = parked_records_;
  s.waits_for_budget = waits_for_budget_;
  s.next_event_seq = row_.next_event_seq;
  s.published_seq = row_.published_seq;
  s.paused_cause = paused_cause_;
  s.blocked_by = blocked_by_;
  if (!paused_cause_.empty()) s.paused_seconds = std::chrono::duration<double>(context_.clock.now() - paused_since_).count();
  return s;
}

std::vector<core::RecentDuplicate> Lane::recent_duplicates() const {
  const std::lock_guard lock(mutex_);
  return {duplicates_.begin(), duplicates_.end()};
}

std::int64_t Lane::unpublished() const {
  const std::lock_guard lock(mutex_);
  return outbox_ ? outbox_->unpublished() : 0;
}

std::int32_t Lane::id() const {
  const std::lock_guard lock(mutex_);
  return owned_ ? row_.id : 0;
}

}  // namespace deja::runtime
