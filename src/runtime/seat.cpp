#include "runtime/seat.h"

#include <algorithm>

#include "core/lane_map.h"
#include "runtime/handler_event.h"

namespace deja::runtime {

void Seat::start(std::int32_t lane, std::int64_t offset, std::optional<postgres::Witness> witness) {
  auto& seat = lanes.at(static_cast<std::size_t>(lane));
  seat.expected = offset;
  seat.starting = true;
  seat.witness = std::move(witness);
  unchecked_ = static_cast<int>(std::count_if(lanes.begin(), lanes.end(), [](const auto& l) { return l.witness.has_value(); }));
}

bool Seat::ready() const {
  return std::all_of(lanes.begin(), lanes.end(), [](const auto& l) { return l.expected >= 0; });
}

std::int64_t Seat::fetch_from() const {
  auto from = lanes.front().expected;
  for (const auto& l : lanes) from = std::min({from, l.expected, l.witness ? l.witness->offset : l.expected});
  return from;
}

void Seat::fetching_from(std::int64_t offset) {
  expected = offset;
  uncertain = true;
  sought_again = paused = false;
  feed->consumed.store(offset);
  wanted = lanes.front().expected;
  for (auto& l : lanes) {
    wanted = std::min(wanted, l.expected);
    if (std::exchange(l.starting, false)) l.lane->accept();
  }
}

void Seat::stop(const std::string& error, bool certain) {
  paused = true;
  expected = -1;
  for (auto& l : lanes) {
    l.expected = -1;
    l.lane->log_lost(error, certain);
  }
}

Seat::LaneSeat& Seat::lane_of(const core::SourceRecord& record) {
  if (lanes.size() == 1) return lanes.front();
  const auto count = static_cast<std::int32_t>(lanes.size());
  const auto key = core::ordering_key(spec->ordering, record);
  return lanes[static_cast<std::size_t>(core::lane_of(key ? std::optional<std::string_view>(*key) : std::nullopt, record.view.offset, count))];
}

std::string Seat::check_witnesses(const core::SourceRecord& record, core::FramedHash& hash) {
  std::optional<postgres::Witness> found;
  for (auto& l : lanes) {
    if (!l.witness || record.view.offset < l.witness->offset) continue;
    const auto sought = *l.witness;
    l.witness.reset();
    --unchecked_;
    const auto at = "the log is another one: its record at offset " + std::to_string(sought.offset);
    if (record.view.offset == sought.offset) {
      if (!found) found = witness_of(record, hash);
      if (found->digest != sought.digest || found->timestamp_ms != sought.timestamp_ms) return at + " is not the one that was consumed";
    } else if (sought.leader_epoch >= 0 && record.leader_epoch >= 0 && record.leader_epoch < sought.leader_epoch) {
      // compaction or retention took the record; but in one log the leader's epoch never goes back
      return at + " is gone, and the leader's epoch went back from " + std::to_string(sought.leader_epoch) + " to " + std::to_string(record.leader_epoch);
    }
  }
  return {};
}

std::string Seat::check_end(std::int64_t end) const {
  for (const auto& l : lanes)
    if (l.expected > end) return "the log ends at offset " + std::to_string(end);
  return {};
}

bool Seat::all_closed() const {
  return std::all_of(lanes.begin(), lanes.end(), [](const auto& l) { return l.lane->closed(); });
}

bool Seat::stopped() const {
  return std::any_of(lanes.begin(), lanes.end(), [](const auto& l) { return l.lane->stopped(); });
}

bool Seat::full(std::size_t records, std::size_t bytes) const {
  return std::any_of(lanes.begin(), lanes.end(), [&](const auto& l) { return l.lane->queued() >= records || l.lane->queued_bytes() >= bytes; });
}

bool Seat::has_room(std::size_t records, std::size_t bytes) const {
  return std::all_of(lanes.begin(), lanes.end(), [&](const auto& l) { return l.lane->queued() <= records && l.lane->queued_bytes() <= bytes; });
}

std::optional<Lane::Progress> Seat::progress() const {
  std::optional<Lane::Progress> slowest;
  for (const auto& l : lanes) {
    auto progress = l.lane->progress();
    if (progress.next_offset < 0) return std::nullopt;
    if (!slowest) slowest = std::move(progress);
    else slowest->next_offset = std::min(slowest->next_offset, progress.next_offset);
  }
  return slowest;
}

void Seat::close(core::Steady::time_point deadline, bool bring_together) {
  const auto consumed = feed->consumed.load();
  std::int64_t furthest = -1;
  bool drained = true;
  for (const auto& l : lanes) {
    const auto reached = l.lane->freeze();
    furthest = std::max(furthest, reached.offset);
    drained = drained && reached.drained;
  }
  // Never beyond what was read: a lane that was ahead when it was taken over says nothing about the records of the others in between.
  const auto until = drained ? consumed : std::min(furthest, consumed);
  for (const auto& l : lanes) l.lane->close(deadline, bring_together || drained ? until : -1);
}

}  // namespace deja::runtime
