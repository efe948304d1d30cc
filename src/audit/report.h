#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/audit_verdict.h"

namespace deja::audit {

/// Something the audit names. `kind` is the count it belongs to: missing, doubled, misordered, orphaned, unchecked.
struct Finding {
  std::string kind;
  std::string what;  ///< record, effect or event
  std::string topic;
  std::int32_t partition = 0;
  std::optional<std::int64_t> offset = {};
  std::optional<std::string> key = {};  ///< of the record or event, bytes
  std::optional<std::string> number = {};  ///< of an event: group/lane/number
  std::string detail = {};
};

/// What was found of one partition of one group: its records, and the events of its lanes.
struct PartitionReport {
  std::string group, topic;
  std::optional<std::int32_t> partition;  ///< nothing: events that belong to no partition that was audited
  std::int64_t checked = 0;               ///< records
  std::int64_t processed = 0, duplicate = 0, conflict = 0, expired = 0, parked = 0, dead = 0, discarded = 0, skipped = 0;
  std::int64_t events = 0;          ///< committed event numbers that were checked
  std::int64_t events_discarded = 0;  ///< set aside, since Kafka refused them, and discarded by an operator
  std::int64_t events_removed = 0;  ///< committed, but no longer in Kafka by its topic's retention: not checked
  std::int64_t missing = 0, doubled = 0, misordered = 0, orphaned = 0, unchecked = 0;  ///< of records and events
  std::vector<Finding> findings;    ///< the first of each kind
  std::vector<std::string> notes;

  bool clean() const { return missing == 0 && doubled == 0 && misordered == 0 && unchecked == 0; }
  void count(core::Verdict verdict);
  /// Counts the finding under its kind and keeps it when fewer than `named` of its kind are kept.
  void add(Finding finding, std::size_t named);
  void keep(Finding finding, std::size_t named);

 private:
  std::map<std::string, std::size_t, std::less<>> kept_;
};

struct Report {
  std::vector<PartitionReport> partitions;
  std::int64_t records_read = 0, events_read = 0;
  double seconds = 0;

  bool clean() const;
};

/// One JSON object a line for each partition, its findings inside.
std::string json_lines(const Report& report);
/// The same for people.
std::string table(const Report& report);
/// One sentence: how much, how fast, and whether it is clean.
std::string summary(const Report& report);

}  // namespace deja::audit
