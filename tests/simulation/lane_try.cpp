#include <algorithm>

#include "core/backoff.h"
#include "simulation/lane.h"
#include "simulation/process.h"
#include "simulation/simulation.h"

// Batches of a lane, of live records and of parked ones: how one is tried, what its end means.

namespace deja::simulation {

namespace {
constexpr core::BackoffPolicy try_again_backoff{milliseconds(5), milliseconds(1000)};
}

core::BatchShape Lane::next_shape() {
  const auto& decisions = simulation_.decisions();
  const auto first = current_.front()->offset;
  const bool alone = decisions.alone(suspects_);
  auto shape = plan_.next(alone ? 1 : current_.size(), first);
  const auto most = simulation_.settings().crash_max_starts;
  if (alone && !shape.forced && decisions.has_to_die_live(suspects_, first, most)) shape.forced = core::killed(most);
  return shape;
}

std::optional<Time> Lane::run_batch() {
  drained_last_ = false;
  if (const auto later = wait_for_breakers()) return later;
  if (!simulation_.settings().park_or_die && !simulation_.decisions().has_room(parked_.size(), simulation_.settings().park_max)) return no_room();
  simulation_.checker().turn_taken(this, false, needs_.empty() && drain_is_due());
  const auto shape = next_shape();
  Checker::Try t{this, process_.number()};
  t.records.assign(current_.begin(), current_.begin() + static_cast<std::ptrdiff_t>(shape.records));
  t.alone = simulation_.decisions().alone(suspects_);
  return run(std::move(t), shape);
}

std::optional<Time> Lane::run(Checker::Try t, core::BatchShape shape) {
  t.runs = !shape.forced.has_value();
  try_ = std::move(t);
  shape_ = std::move(shape);
  if (process_.enter(*this, try_->alone)) begin();
  return std::nullopt;
}

void Lane::begin() {
  if (dead_) return;
  if (simulation_.now() < process_.frozen_until) {
    simulation_.at(process_.frozen_until, [this] { begin(); });
    return;
  }
  if (try_->alone && try_->runs && !commit_start()) {
    process_.leave(true);
    try_.reset();
    wake(*fence());
    return;
  }
  simulation_.trace(process_.number(), [&] { return "begins a " + std::string(try_->drain ? "drain" : "batch") + (try_->alone ? " alone" : "") + " on lane " + std::to_string(number_) + " from " + text(*try_->records.front()) + ", " + std::to_string(try_->records.size()) + " records"; });
  auto seen = *try_;
  seen.runs = seen.runs && owns_row();  // else it will find out before it calls anybody
  simulation_.checker().begins(seen, simulation_.database().lanes[number_], simulation_.now());
  simulation_.after(simulation_.dice().time(1, simulation_.settings().call.count()), [this] { finish(); });
}

// R1: in a transaction of its own, before the record runs. False: fenced.
bool Lane::commit_start() {
  const auto& decisions = simulation_.decisions();
  if (try_->drain) {
    auto& row = drain_.rows.front();
    if (drain_.started) return true;
    if (!note_parked_start(row, row.starts + 1)) return false;
    simulation_.tried_alone(number_, row.record);
    drain_.started = true;
    return true;
  }
  const auto offset = try_->records.front()->offset;
  const auto starts = decisions.start_of(suspects_, offset);
  if (!starts) return true;
  if (!note_start(offset, *starts)) return false;
  simulation_.tried_alone(number_, try_->records.front());
  suspects_.started(offset);
  return true;
}

bool Lane::note_start(std::int64_t offset, std::int32_t starts) {
  auto& row = simulation_.database().lanes[number_].row;
  if (row.token != row_.token || row.batch_seq != row_.batch_seq) return false;
  row.suspects.from = offset;
  row.suspects.starts = starts;
  return true;
}

bool Lane::note_parked_start(ParkedRow& row, std::int32_t starts) {
  auto& lane = simulation_.database().lanes[number_];
  const auto found = lane.parked.find(row.id);
  if (lane.row.token != row_.token || lane.row.batch_seq != row_.batch_seq || found == lane.parked.end()) return false;
  found->second.starts = row.starts = starts;
  return true;
}

// The process lives on, and the record waits. One that is fenced meanwhile will notice.
void Lane::refund() {
  if (drain_.started && !drain_.rows.empty()) {
    if (note_parked_start(drain_.rows.front(), drain_.rows.front().starts - 1)) simulation_.not_tried_alone(number_);
    drain_.started = false;
  }
  if (current_.empty()) return;
  const auto refund = simulation_.decisions().refund(suspects_, current_.front()->offset);
  if (!refund || !note_start(refund->offset, refund->starts)) return;
  suspects_.refunded();
  simulation_.not_tried_alone(number_);
}

void Lane::finish() {
  if (dead_) return;
  if (simulation_.now() < process_.frozen_until) {
    simulation_.at(process_.frozen_until, [this] { finish(); });
    return;
  }
  BatchResult result;
  Batch batch(simulation_, *try_, number_, row_, parked_, drain_.rows, shape_);
  const auto how = batch.run(result);
  if (how.kind == BatchEnd::Kind::process_ended) return simulation_.end(process_);
  simulation_.checker().ends(this);
  end(how, result);
}

void Lane::end(const BatchEnd& how, BatchResult& result) {
  const auto t = std::move(*try_);
  auto& plan = t.drain ? drain_.plan : plan_;
  std::optional<Time> next = soon();
  switch (how.kind) {
    case BatchEnd::Kind::committed: committed(result); break;
    case BatchEnd::Kind::in_doubt:
      in_doubt_ = std::move(result);
      doubtful_ = true;
      next = wait();
      break;
    case BatchEnd::Kind::fenced: next = fence(); break;
    case BatchEnd::Kind::needs_savepoints: plan.needs_savepoints(t.drain ? drain_.done + static_cast<std::int64_t>(t.records.size()) - 1 : t.records.back()->offset); break;
    case BatchEnd::Kind::repeat:
      next = not_before_ = simulation_.now() + core::full_jitter(try_again_backoff, plan.repeat(t.records.size()), simulation_.dice().unit());
      give_turns_back();
      refund();
      break;
    case BatchEnd::Kind::no_room:
      if (how.index > 0) plan.stop_before(how.index);
      else next = no_room();
      break;
    case BatchEnd::Kind::dependency_away:
      if (how.index > 0) {
        plan.stop_before(how.index);
        break;
      }
      simulation_.checker().refused(t, how.dependency, simulation_.now());
      refund();
      refused_in_drain_ = t.drain;
      next = refused(how.dependency);
      break;
    case BatchEnd::Kind::process_ended: break;
  }
  try_.reset();
  process_.leave(t.alone);
  if (next) wake(*next);
}

void Lane::committed(BatchResult& result) {
  if (result.drain == refused_in_drain_) {
    if (result.outcomes.front().disposition == core::Disposition::processed) granted();
    else need_no_more();
  }
  process_.unreported += result.first_deliveries;
  row_.batch_seq = result.row.batch_seq;
  row_.next_offset = result.row.next_offset;
  row_.parked_version = result.row.parked_version;
  const auto done = static_cast<std::ptrdiff_t>(result.outcomes.size());
  const bool gone = result.outcomes.front().gone;
  remember(result.parked);
  if (result.drain) {
    if (drain_.started && gone) note_parked_start(drain_.rows.front(), drain_.rows.front().starts - 1);
    drain_.rows.erase(drain_.rows.begin(), drain_.rows.begin() + done);
    drain_.started = false;
    drain_.done += done;
    drain_.plan.committed(drain_.rows.empty() ? std::nullopt : std::optional(drain_.done));
    no_room_until_ = {};
  } else {
    current_.erase(current_.begin(), current_.begin() + done);
    suspects_.committed(result.outcomes.size());
    plan_.committed(current_.empty() ? std::nullopt : std::optional(current_.front()->offset));
  }
  failures_ = 0;
}

std::optional<Time> Lane::no_room() {
  refund();
  no_room_until_ = simulation_.now() + milliseconds(1000);
  return closing_ ? soon() : sooner(no_room_until_);
}

}  // namespace deja::simulation
