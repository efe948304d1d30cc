#include "simulation/lane.h"

#include <algorithm>

#include "core/backoff.h"
#include "simulation/process.h"
#include "simulation/simulation.h"

// The lane's own side: its row, what it runs next, how it closes. lane_try.cpp has the batches.

namespace deja::simulation {

namespace {
constexpr core::BackoffPolicy lane_backoff{milliseconds(50), milliseconds(1000)};
}

bool Lane::owns_row() const { return taken_ && !dead_ && simulation_.database().lanes[number_].row.token == row_.token; }

void Lane::wake() { wake(simulation_.now()); }

void Lane::wake(Time when) {
  if (closed_ || dead_ || (wake_at_ && *wake_at_ <= when)) return;
  wake_at_ = when;
  simulation_.at(when, [this, wake = ++wakes_] {
    if (wake != wakes_) return;
    wake_at_.reset();
    step();
  });
}

Time Lane::soon() const { return simulation_.now(); }

void Lane::close() {
  closing_ = true;
  wake();
}

void Lane::lose() {
  lost_ = closing_ = true;
  wake();
}

void Lane::step() {
  if (dead_ || closed_ || try_) return;
  if (simulation_.now() < process_.frozen_until) return wake(process_.frozen_until);
  if (const auto next = work()) wake(*next);
}

std::optional<Time> Lane::work() {
  const auto now = simulation_.now();
  if (lost_ || (closing_ && !owned_)) {
    finish_closing();
    return std::nullopt;
  }
  if (now < not_before_ && (!closing_ || doubtful_)) return not_before_;
  if (!owned_) return take_over();
  if (doubtful_ && !settle()) return fence();
  if (parked_changed_ && !closing_) {
    parked_changed_ = false;
    if (!reload_parked()) return fence();
    if (refused_in_drain_) {
      refund();
      need_no_more();
      drain_ = {};
      not_before_ = {};
    }
  }
  if (closing_) return close_step();
  if (drains_next()) return run_drain();
  if (now < no_room_until_) return sooner(no_room_until_);
  return load_batch() ? run_batch() : sooner(std::nullopt);
}

// In two transactions: others may come between them.
std::optional<Time> Lane::take_over() {
  const auto& decisions = simulation_.decisions();
  auto& database = simulation_.database();
  auto& lane = database.lanes[number_];
  const auto batch_max = static_cast<std::int32_t>(simulation_.settings().batch_max);
  if (!taken_) {
    auto& row = lane.row;
    if (decisions.marks_live_suspects(row.clean || row.token == 0)) row.suspects.records = std::max(row.suspects.records, batch_max);
    row.token = database.next_token++;
    row.clean = row.clean && decisions.clean_stays();
    row_ = row;
    taken_ = true;
    simulation_.tried_alone(number_, nullptr);
    simulation_.trace(process_.number(), [&] { return "takes over lane " + std::to_string(number_) + " at offset " + std::to_string(row_.next_offset); });
    return soon() + simulation_.dice().time(0, 10);
  }
  if (!fits(lane.row, row_)) return fence();
  forget_parked();
  if (decisions.marks_parked_suspects(row_.suspects.records < batch_max))
    for (auto& [id, row] : lane.parked)
      if (row.next_at && *row.next_at <= simulation_.now()) {
        row.suspect = true;
        if (row.record->ordering && decisions.marks_followers())
          for (const auto* follower : lane.behind(*row.record)) lane.parked.at(follower->id).suspect = true;
      }
  if (decisions.loads_parked())
    for (const auto& [id, row] : lane.parked) parked_.add(remembered(row, simulation_.now()));
  suspects_ = core::Suspects(row_.suspects);
  doubtful_ = false;
  owned_ = true;
  failures_ = 0;
  const auto& records = simulation_.records_of(number_);
  position_ = static_cast<std::size_t>(std::lower_bound(records.begin(), records.end(), row_.next_offset, [](const LogRecord* r, std::int64_t offset) { return r->offset < offset; }) - records.begin());
  return soon();
}

std::optional<Time> Lane::fence() {
  simulation_.trace(process_.number(), [&] { return "is fenced on lane " + std::to_string(number_); });
  simulation_.checker().turns_begin(this);
  need_no_more();
  not_before_ = {};
  current_.clear();
  in_doubt_.reset();
  doubtful_ = parked_changed_ = false;
  plan_.reset();
  forget_parked();
  taken_ = owned_ = false;
  return simulation_.now() + simulation_.dice().time(0, 500);
}

// L2. False: fenced.
bool Lane::settle() {
  const auto& now = simulation_.database().lanes[number_].row;
  const bool not_committed = fits(now, row_);
  if (!not_committed && (now.token != row_.token || now.batch_seq != row_.batch_seq + 1 || !in_doubt_)) return false;
  if (!not_committed) {
    auto result = std::move(*in_doubt_);
    committed(result);
  }
  in_doubt_.reset();
  doubtful_ = false;
  failures_ = 0;
  return true;
}

void Lane::look_at_row() {
  if (dead_ || closed_ || !owned_ || try_) return;
  const auto& row = simulation_.database().lanes[number_].row;
  if (!fits(row, row_)) doubtful_ = true;
  if (row.parked_version != row_.parked_version) parked_changed_ = true;
  wake();
}

bool Lane::live_waiting() const {
  const auto& records = simulation_.records_of(number_);
  return !current_.empty() || (position_ < records.size() && records[position_]->produced <= simulation_.now());
}

bool Lane::load_batch() {
  if (!current_.empty()) return true;
  const auto& records = simulation_.records_of(number_);
  for (; live_waiting() && current_.size() < simulation_.settings().batch_max; ++position_) {
    const auto* record = position_ < records.size() ? records[position_] : nullptr;
    if (record == nullptr || record->produced > simulation_.now()) break;
    current_.push_back(record);
  }
  return !current_.empty();
}

std::optional<Time> Lane::close_step() {
  refund();
  auto& row = simulation_.database().lanes[number_].row;
  if (!fits(row, row_)) return fence();
  row.batch_seq += 1;
  row.clean = true;
  finish_closing();
  return std::nullopt;
}

void Lane::finish_closing() {
  simulation_.trace(process_.number(), [&] { return std::string(lost_ ? "lost lane " : "hands over lane ") + std::to_string(number_); });
  need_no_more();
  closed_ = true;
  taken_ = false;
  simulation_.lane_closed(partition_);
}

Time Lane::wait() {
  not_before_ = simulation_.now() + std::max(milliseconds(10), core::full_jitter(lane_backoff, failures_++, simulation_.dice().unit()));
  return not_before_;
}

// As src/runtime/lane_needs.cpp has it.
std::optional<Time> Lane::wait_for_breakers() {
  const auto now = simulation_.now();
  for (const auto need : needs_) {
    const auto turn = process_.ask(need, this, now);
    if (turn.probe) (refused_in_drain_ ? drain_.plan : plan_).stop_before(1);
    if (turn.allowed) continue;
    give_turns_back();
    not_before_ = std::min(turn.again, now + milliseconds(1000));
    return closing_ ? now : not_before_;
  }
  simulation_.checker().asked(this);
  return std::nullopt;
}

std::optional<Time> Lane::refused(int dependency) {
  if (std::find(needs_.begin(), needs_.end(), dependency) == needs_.end()) needs_.push_back(dependency);
  const auto now = simulation_.now();
  const auto state = process_.failed(dependency, this, now, simulation_.dice().unit());
  simulation_.trace(process_.number(), [&] { return "is refused by dependency " + std::to_string(dependency) + " on lane " + std::to_string(number_) + ", breaker " + std::string(core::in_words(state)); });
  give_turns_back();
  if (state != core::BreakerState::closed) not_before_ = now + milliseconds(1000);
  else wait();
  return closing_ ? now : not_before_;
}

void Lane::give_turns_back() {
  for (const auto need : needs_) process_.give_back(need, this);
}

void Lane::granted() {
  for (const auto need : needs_) {
    process_.succeeded(need, this);
    simulation_.checker().granted({this, process_.number()}, need);
  }
  needs_.clear();
  refused_in_drain_ = false;
}

void Lane::need_no_more() {
  for (const auto need : needs_) process_.left(need, this);
  if (!needs_.empty()) simulation_.checker().needs_no_more(this, process_.number());
  needs_.clear();
  refused_in_drain_ = false;
}

}  // namespace deja::simulation
