#include <algorithm>

#include "failpoints/failpoint.h"
#include "runtime/intake.h"

// What the group decides: partitions come and go. On the polling thread, inside poll().

namespace deja::runtime {

void Intake::assigned(const kafka::Partitions& partitions) {
  // librdkafka pauses and resumes what stays during a cooperative rebalance
  for (auto& [partition, seat] : seats_) {
    seat.uncertain = true;
    seat.sought_again = false;
  }
  for (const auto& partition : partitions) {
    auto lane = lanes_.make(partition, next_assignment_++);
    context_.metrics.counter("deja_rebalances_total", {partition.topic}).add();
    {
      const std::lock_guard lock(seats_mutex_);
      auto& seat = seats_[partition];
      seat = Seat{};
      seat.lane = lane;
      seat.metrics = lanes_.metrics(partition.topic);
    }
    last_seat_.second = nullptr;
    if (stop_requested_) lane->close(context_.clock.now());
    else lanes_.wake(lane);
    DEJA_FAILPOINT(after_assign);
  }
}

void Intake::revoked(const kafka::Partitions& partitions, bool lost) {
  const auto now = context_.clock.now();
  auto deadline = lost ? now : now + options_.drain_timeout;
  if (stop_requested_ && stop_by_ != core::Steady::time_point{}) deadline = std::min(deadline, stop_by_);
  for (const auto& partition : partitions)
    if (auto* seat = seat_of(partition.topic, partition.number)) seat->lane->close(deadline);
  revocations_.push_back({partitions, deadline});
  DEJA_FAILPOINT(after_revoke);
  if (lost) finish_revocations();
}

// The partitions are given up when their lanes have handed over, or when the time for it is over.
void Intake::finish_revocations() {
  for (std::size_t i = 0; i < revocations_.size();) {
    const auto& revocation = revocations_[i];
    if (!all_closed(revocation.partitions) && context_.clock.now() < revocation.deadline) {
      ++i;
      continue;
    }
    const auto partitions = revocation.partitions;
    commit_offsets(false);
    revocations_.erase(revocations_.begin() + static_cast<std::ptrdiff_t>(i));
    drop_seats(partitions);
    consumer_->give_up(partitions);
    DEJA_FAILPOINT(after_give_up);
  }
}

bool Intake::all_closed(const kafka::Partitions& partitions) const {
  return std::all_of(partitions.begin(), partitions.end(), [&](const auto& p) {
    const auto seat = seats_.find(p);
    return seat == seats_.end() || seat->second.lane->closed();
  });
}

void Intake::drop_seats(const kafka::Partitions& partitions) {
  const std::lock_guard lock(seats_mutex_);
  for (const auto& partition : partitions) seats_.erase(partition);
  last_seat_.second = nullptr;
}

void Intake::group_error(const std::string& error, bool fatal) {
  if (fatal) {
    context_.stop(Stop(exit_code::configuration, "Kafka refuses this member for good: " + error));
  } else {
    context_.log.warn("Kafka reports an error", {{"error", error}});
    if (error.find("ALL_BROKERS_DOWN") != std::string::npos) context_.dependencies.down("kafka", error);
  }
}

}  // namespace deja::runtime
