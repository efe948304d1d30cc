#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "audit/record_audit.h"
#include "core/event_numbers.h"
#include "kafka/admin.h"
#include "kafka/log_reader.h"
#include "postgres/audit_store.h"

namespace deja::audit {

/// Where a group's events lie.
struct EventLog {
  std::vector<kafka::LogSlice> slices;
  /// Some topic is compacted, or is no longer there: any of its events may be gone.
  bool any_may_be_gone = false;
};

/// Reads a group's event topics again and proves that every number of its lanes is there once (see core/event_number.h).
///
/// `before`: the lanes as they were before the ends of the event topics were asked for, so that all they call published is in there.
/// `after`: as they were afterwards, so that whatever is in there is below their next number.
class EventAudit {
 public:
  EventAudit(std::string group, const std::vector<postgres::AuditLane>& before, const std::vector<postgres::AuditLane>& after,
             const std::map<std::string, RecordAudit*>& records, PartitionReport& elsewhere, std::size_t named);

  /// Returns how many events were read.
  std::int64_t run(const kafka::LogReader& reader, const EventLog& log, postgres::AuditStore& store, const std::function<void(std::int64_t)>& progress);

 private:
  struct Lane {
    postgres::AuditLane before, after;
    PartitionAudit* partition = nullptr;  // nothing: its topic is not audited
    core::EventNumbers numbers;
    std::unordered_set<std::int64_t> orphaned;  // numbers of events that are orphaned by their source: not missing beside that
  };
  struct Read;  // the headers that concern the audit
  struct Suspect {
    std::int32_t lane;
    std::string topic;
    std::int32_t partition;
    std::int64_t offset, seq;
    std::string key;
  };

  void look(const core::SourceRecord& record);
  void look_unnumbered(const core::SourceRecord& record, const Read& read);
  std::string fault_of_source(const Lane& lane, const Read& read) const;
  Finding finding(std::string kind, const core::SourceRecord& record, std::string number, std::string detail) const;
  void check_order(const kafka::LogReader& reader, const EventLog& log);
  void check_numbers(std::int32_t id, Lane& lane, const EventLog& log, postgres::AuditStore& store);
  void check_waiting(std::int32_t id, Lane& lane, const std::vector<std::int64_t>& numbers, postgres::AuditStore& store);
  Finding missing_number(std::int32_t id, const Lane& lane, std::int64_t seq, std::string kind, std::string detail) const;

  const std::string group_;
  const std::map<std::string, RecordAudit*>& records_;
  PartitionReport& elsewhere_;
  const std::size_t named_;
  std::unordered_map<std::int32_t, Lane> lanes_;
  std::map<kafka::Partition, std::int32_t> places_;
  std::vector<std::int32_t> places_without_beginning_;
  std::vector<Suspect> suspects_;
};

}  // namespace deja::audit
