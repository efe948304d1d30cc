#include <algorithm>

#include "failpoints/failpoint.h"
#include "runtime/intake.h"

// What the group decides: partitions come and go. On the polling thread, inside poll().

namespace deja::runtime {

namespace {
bool contains(const kafka::Partitions& partitions, const kafka::Partition& one) {
  return std::find(partitions.begin(), partitions.end(), one) != partitions.end();
}
}  // namespace

void Intake::assigned(const kafka::Partitions& partitions) {
  // librdkafka pauses and resumes what stays during a cooperative rebalance
  for (auto& [partition, seat] : seats_) {
    seat.uncertain = true;
    seat.sought_again = false;
  }
  for (const auto& partition : partitions) {
    auto made = lanes_.make(partition, next_assignment_++);
    const auto lanes = made.lanes;
    context_.metrics.counter("deja_rebalances_total", {partition.topic}).add();
    {
      const std::lock_guard lock(seats_mutex_);
      seats_.insert_or_assign(partition, std::move(made));
    }
    last_seat_.second = nullptr;
    for (const auto& l : lanes) {
      if (stop_requested_) l.lane->close(context_.clock.now());
      else lanes_.wake(l.lane);
    }
    DEJA_FAILPOINT(after_assign);
  }
}

void Intake::revoked(const kafka::Partitions& partitions, bool lost) {
  const auto now = context_.clock.now();
  auto deadline = lost || left_ ? now : now + options_.drain_timeout;
  if (stop_requested_ && stop_by_ != core::Steady::time_point{}) deadline = std::min(deadline, stop_by_);
  for (const auto& partition : partitions)
    if (auto* seat = seat_of(partition.topic, partition.number)) seat->close(deadline, false);
  // Asked again before the answer, one answer is given to both.
  if (!revocation_) revocation_ = Revocation{{}, deadline};
  revocation_->deadline = std::min(revocation_->deadline, deadline);
  for (const auto& partition : partitions)
    if (!contains(revocation_->partitions, partition)) revocation_->partitions.push_back(partition);
  DEJA_FAILPOINT(after_revoke);
  if (lost) finish_revocation();
}

Intake::Refetch Intake::refetched(const kafka::Partition& partition) {
  auto* seat = seat_of(partition.topic, partition.number);
  if (!seat || seat->expected < 0) return {};  // until it is started
  seat->uncertain = true;
  seat->sought_again = false;
  return {seat->expected, seat->paused};
}

// The partitions are given up when their lanes have handed over, or when the time for it is over.
void Intake::finish_revocation() {
  if (!revocation_ || (!all_closed(revocation_->partitions) && context_.clock.now() < revocation_->deadline)) return;
  commit_offsets(false);
  const auto partitions = std::exchange(revocation_, std::nullopt)->partitions;
  drop_seats(partitions);
  consumer_->give_up(partitions);
  DEJA_FAILPOINT(after_give_up);
}

// F2: a process that cannot reach Postgres while others can must not sit on its partitions. Postgres that is away for everybody
// is the commoner case, and leaving costs a rebalance: so only after a time.
void Intake::leave_or_join_again() {
  if (stop_requested_) return;
  const auto away = context_.dependencies.away_for("postgres");
  if (!left_ && away > options_.leave_after) {
    left_ = true;
    if (revocation_) {  // librdkafka leaves after it
      revocation_->deadline = context_.clock.now();
      for (const auto& partition : revocation_->partitions)
        if (auto* seat = seat_of(partition.topic, partition.number)) seat->close(revocation_->deadline, false);
    }
    context_.log.warn("leaving the group until Postgres is back: another process may reach it", {{"away_seconds", away.count() / 1000}});
    consumer_->unsubscribe();
    DEJA_FAILPOINT(after_leave);
  } else if (left_ && away.count() == 0) {
    left_ = false;
    context_.log.info("Postgres is back: joining the group again", {});
    consumer_->subscribe(options_.topics);
    DEJA_FAILPOINT(after_join_again);
  }
}

bool Intake::all_closed(const kafka::Partitions& partitions) const {
  return std::all_of(partitions.begin(), partitions.end(), [&](const auto& p) {
    const auto seat = seats_.find(p);
    return seat == seats_.end() || seat->second.all_closed();
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
