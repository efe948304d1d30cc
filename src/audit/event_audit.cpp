#include "audit/event_audit.h"

#include <algorithm>

#include "core/event_number.h"

namespace deja::audit {

namespace {
constexpr std::size_t max_suspects = 10'000;  // of the order; more are the same fault again
constexpr std::size_t page = 10'000;          // numbers asked for at once
}  // namespace

struct EventAudit::Read {
  std::string_view number_text, source_text;
  std::optional<core::EventNumber> number;
  std::optional<core::Uuid> id;

  explicit Read(const core::SourceRecord& record) {
    for (const auto& h : record.headers) {
      const auto value = h.value.value_or(std::string_view());
      if (h.name == core::event_number_header) {
        number_text = value;
        number = core::parse_event_number(value);
      } else if (h.name == "deja-event-id") {
        id = core::parse_uuid(value);
      } else if (h.name == "deja-source") {
        source_text = value;
      }
    }
  }
};

EventAudit::EventAudit(std::string group, const std::vector<postgres::AuditLane>& before, const std::vector<postgres::AuditLane>& after,
                       const std::map<std::string, RecordAudit*>& records, PartitionReport& elsewhere, std::size_t named)
    : group_(std::move(group)), records_(records), elsewhere_(elsewhere), named_(named) {
  for (const auto& lane : after) lanes_[lane.id].after = lane;
  for (const auto& lane : before) {
    auto& entry = lanes_[lane.id];
    entry.before = lane;
    if (const auto audited = records.find(lane.topic); audited != records.end())
      if (const auto p = audited->second->partitions().find(lane.partition); p != audited->second->partitions().end()) entry.partition = p->second.get();
  }
}

std::int64_t EventAudit::run(const kafka::LogReader& reader, const EventLog& log, postgres::AuditStore& store, const std::function<void(std::int64_t)>& progress) {
  for (const auto& slice : log.slices) {
    const auto place = static_cast<std::int32_t>(places_.size());
    places_.emplace(slice.partition, place);
    if (slice.from > 0) places_without_beginning_.push_back(place);
  }
  std::int64_t events = 0;
  reader.read(log.slices, [&](const core::SourceRecord& record) {
    ++events;
    look(record);
  }, progress);
  if (!suspects_.empty()) check_order(reader, log);
  for (auto& [id, lane] : lanes_)
    if (lane.partition) check_numbers(id, lane, log, store);
  return events;
}

void EventAudit::look(const core::SourceRecord& record) {
  const Read read(record);
  if (!read.number) return look_unnumbered(record, read);
  if (read.number->group != group_) return;
  const std::string number(read.number_text);
  const auto found = lanes_.find(read.number->lane);
  if (found == lanes_.end()) return elsewhere_.add(finding("orphaned", record, number, "the group has no lane of this id"), named_);
  auto& lane = found->second;
  if (!lane.partition) return;
  auto& report = lane.partition->report;
  if (read.number->seq < 1 || read.number->seq >= lane.after.next_event_seq)
    return report.add(finding("orphaned", record, number, "no event of this number is committed (after a restore: it left before the database went back)"), named_);
  if (auto fault = fault_of_source(lane, read); !fault.empty()) {
    lane.orphaned.insert(read.number->seq);
    return report.add(finding("orphaned", record, number, std::move(fault)), named_);
  }
  if (!read.id) return report.add(finding("orphaned", record, number, "it has no deja-event-id"), named_);
  switch (lane.numbers.see(places_.at({std::string(record.view.topic), record.view.partition}), read.number->seq, *read.id)) {
    case core::EventNumbers::Seen::first:
    case core::EventNumbers::Seen::repeat:
      break;
    case core::EventNumbers::Seen::another_id:
      report.add(finding("doubled", record, number, "this number was taken by an event with another id before"), named_);
      break;
    case core::EventNumbers::Seen::out_of_order:
      // Events without a key are ordered with nothing. With one, only the events of that key matter: looked at afterwards.
      if (record.view.key && suspects_.size() < max_suspects)
        suspects_.push_back({read.number->lane, std::string(record.view.topic), record.view.partition, record.view.offset, read.number->seq, std::string(*record.view.key)});
  }
}

// From other producers, most likely; deja's own look otherwise, but for its number.
void EventAudit::look_unnumbered(const core::SourceRecord& record, const Read& read) {
  const auto source = read.id ? core::parse_source(read.source_text) : std::nullopt;
  if (!source) return;
  const auto audited = records_.find(std::string(source->topic));
  if (audited == records_.end()) return;
  const auto p = audited->second->partitions().find(source->partition);
  if (p == audited->second->partitions().end()) return;
  p->second->report.add(finding("orphaned", record, {}, "it says that it comes from " + std::string(read.source_text) + ", but has no " + core::event_number_header), named_);
}

std::string EventAudit::fault_of_source(const Lane& lane, const Read& read) const {
  const auto source = core::parse_source(read.source_text);
  const auto text = [&] { return "its source " + std::string(read.source_text); };
  if (!source) return "it has no deja-source";
  if (source->topic != lane.after.topic || source->partition != lane.after.partition) return text() + " is of another partition than its lane";
  if (lane.after.history.is_of_log_before(read.number->seq)) return {};  // its record is gone: another has its place
  // below reread_until it was consumed before an operator moved the lane back
  if (source->offset >= std::max(lane.after.next_offset, lane.after.reread_until)) return text() + " is not consumed";
  if (lane.partition->may_emit(source->offset) == false) return text() + " has no effect and is no dead letter";
  return {};
}

Finding EventAudit::finding(std::string kind, const core::SourceRecord& record, std::string number, std::string detail) const {
  const auto& v = record.view;
  return {std::move(kind), "event", std::string(v.topic), v.partition, v.offset, v.key ? std::optional<std::string>(*v.key) : std::nullopt,
          number.empty() ? std::nullopt : std::optional<std::string>(std::move(number)), std::move(detail)};
}

// Reads the partitions of the suspects again: was there an event of the same lane and key with a higher number before?
void EventAudit::check_order(const kafka::LogReader& reader, const EventLog& log) {
  std::map<kafka::Partition, std::map<std::int64_t, const Suspect*>> by_place;
  std::map<std::pair<std::int32_t, std::string>, std::int64_t> highest_of_all;
  for (const auto& s : suspects_) {
    by_place[{s.topic, s.partition}].emplace(s.offset, &s);
    highest_of_all[{s.lane, s.key}] = 0;
  }
  std::vector<kafka::LogSlice> slices;
  std::map<kafka::Partition, decltype(highest_of_all)> highest;
  for (auto slice : log.slices) {
    const auto found = by_place.find(slice.partition);
    if (found == by_place.end()) continue;
    slice.until = found->second.rbegin()->first + 1;
    slices.push_back(slice);
    highest[slice.partition] = highest_of_all;
  }
  reader.read(slices, [&](const core::SourceRecord& record) {
    const Read read(record);
    if (!read.number || read.number->group != group_ || !record.view.key) return;
    const kafka::Partition place{std::string(record.view.topic), record.view.partition};
    auto& known = highest.at(place);
    const auto at = known.find({read.number->lane, std::string(*record.view.key)});
    if (at == known.end()) return;
    if (by_place.at(place).contains(record.view.offset) && read.number->seq < at->second)
      lanes_.at(read.number->lane).partition->report.add(finding("misordered", record, std::string(read.number_text), "number " + std::to_string(at->second) +
                                                                 " of the same lane and key came before it"), named_);
    const auto& lane = lanes_.find(read.number->lane);
    if (lane != lanes_.end() && read.number->seq < lane->second.after.next_event_seq && fault_of_source(lane->second, read).empty()) at->second = std::max(at->second, read.number->seq);
  }, [](std::int64_t) {});
}

void EventAudit::check_numbers(std::int32_t id, Lane& lane, const EventLog& log, postgres::AuditStore& store) {
  auto& report = lane.partition->report;
  const auto end = lane.before.next_event_seq;
  report.events += end - 1;
  const auto removed = [&](std::int64_t seq) {
    return log.any_may_be_gone ? core::EventNumbers::Removed::yes : lane.numbers.may_be_removed(seq, places_without_beginning_);
  };
  const auto& set_aside = lane.before.set_aside;
  const auto is_aside = [&](std::int64_t seq) {
    const auto found = std::lower_bound(set_aside.begin(), set_aside.end(), seq, [](const auto& a, std::int64_t wanted) { return a.seq < wanted; });
    if (found == set_aside.end() || found->seq != seq) return false;
    if (found->discarded) {
      --report.events;
      ++report.events_discarded;
    }
    return true;
  };
  lane.numbers.missing(1, lane.before.published_seq + 1, [&](std::int64_t seq) {
    if (lane.orphaned.contains(seq) || is_aside(seq)) return;
    switch (removed(seq)) {
      case core::EventNumbers::Removed::no:
        report.add(missing_number(id, lane, seq, "missing", "this number was published and is in none of the event topics"), named_);
        break;
      case core::EventNumbers::Removed::yes:
        --report.events;
        ++report.events_removed;
        break;
      case core::EventNumbers::Removed::unknown:
        report.add(missing_number(id, lane, seq, "unchecked", "this number is in none of the event topics, and retention may have removed it"), named_);
        break;
    }
  });
  std::vector<std::int64_t> waiting;
  lane.numbers.missing(lane.before.published_seq + 1, end, [&](std::int64_t seq) {
    if (lane.orphaned.contains(seq) || is_aside(seq)) return;
    waiting.push_back(seq);
    if (waiting.size() < page) return;
    check_waiting(id, lane, waiting, store);
    waiting.clear();
  });
  if (!waiting.empty()) check_waiting(id, lane, waiting, store);
}

void EventAudit::check_waiting(std::int32_t id, Lane& lane, const std::vector<std::int64_t>& numbers, postgres::AuditStore& store) {
  const auto now = store.waiting(id, numbers);
  for (const auto seq : numbers)
    if (seq > now.published_seq && !std::binary_search(now.in_outbox.begin(), now.in_outbox.end(), seq))
      lane.partition->report.add(missing_number(id, lane, seq, "missing", "this number is committed, not published, and not in the outbox"), named_);
}

Finding EventAudit::missing_number(std::int32_t id, const Lane& lane, std::int64_t seq, std::string kind, std::string detail) const {
  return {std::move(kind), "event", lane.before.topic, lane.before.partition, std::nullopt, std::nullopt, core::event_number_prefix(group_, id) + std::to_string(seq), std::move(detail)};
}

}  // namespace deja::audit
