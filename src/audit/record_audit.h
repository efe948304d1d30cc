#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "audit/key_reader.h"
#include "audit/report.h"
#include "core/key_marks.h"
#include "core/offset_set.h"
#include "kafka/log_reader.h"
#include "postgres/audit_store.h"

namespace deja::audit {

/// What is known of a partition's records while and after they are read. Takes 4 bits an offset, and 8 bytes for marks.
struct PartitionAudit {
  std::int64_t from = 0, until = 0;  // offsets that are audited
  std::vector<postgres::AuditLane> lanes;
  core::OffsetSet seen;     // the log has a record there
  core::OffsetSet matched;  // it is processed: its key's row names it
  core::OffsetSet by_both;  // by the keys of both recipes: two rows name it
  core::KeyMarks marks;     // of the rows; empty: each key is looked up
  std::int64_t key_rows = 0;  // that name their records
  core::OffsetSet open;     // its key's row may come, or need not be there: parked, dead, or not to be computed
  PartitionReport report;
  std::int64_t unkept_conflicts = 0;
  std::mutex mutex;

  /// An older key row is of the log before. The partition's lanes are accepted all at once.
  const std::string& log_since() const { return lanes.front().history.log_since(); }
  /// The lane that has the record now.
  const postgres::AuditLane& lane_of(const core::SourceRecord& record, const KeySource& keys) const;
  /// Whether the record has an effect or a dead letter, so that events may come from it. Nothing: it was not audited.
  std::optional<bool> may_emit(std::int64_t offset) const;
};

struct RecordAuditSettings {
  std::string postgres_url, schema;
  bool reported_conflicts = false;
  std::size_t named = 20;
  unsigned connections = 2;
};

/// Reads the records of one topic again and judges each by what the database holds about it (core/audit_verdict.h). A thread reads
/// the log; `connections` others compute keys and ask the database, thousands of records at a time.
class RecordAudit {
 public:
  RecordAudit(const RecordAuditSettings& settings, std::string group, std::string topic, KeySources keys, postgres::AuditStore& store);

  void add(std::int32_t partition, std::int64_t from, std::int64_t until, std::vector<postgres::AuditLane> lanes);
  std::vector<kafka::LogSlice> slices() const;
  /// Returns how many records were read.
  std::int64_t run(const kafka::LogReader& reader, const std::function<void(std::int64_t)>& progress);

  const std::map<std::int32_t, std::unique_ptr<PartitionAudit>>& partitions() const { return partitions_; }
  const std::string& topic() const { return topic_; }
  bool by_program() const { return keys_.now.program; }

 private:
  class Judge;
  std::vector<postgres::KeyRowRange> ranges() const;
  void read_marks();
  void check_key_rows(const kafka::LogReader& reader, const std::function<void(std::int64_t)>& progress);
  void name_strays(const kafka::LogReader& reader, const std::function<void(std::int64_t)>& progress);
  void fold_conflicts();

  const RecordAuditSettings& settings_;
  const std::string group_, topic_;
  const KeySources keys_;
  postgres::AuditStore& store_;
  std::vector<postgres::Incarnation> incarnations_;
  std::map<std::int32_t, std::unique_ptr<PartitionAudit>> partitions_;
  std::unordered_map<std::int32_t, std::int32_t> partition_of_lane_;
  // Rows of keys that name a record which has another key: the record that has it lacks its effect.
  std::unordered_map<core::Uuid, postgres::KeyRow, core::UuidHash> strays_;
  std::unordered_set<core::Uuid, core::UuidHash> beside_;  // of them: beside the right row of the same record
  std::optional<std::int64_t> rows_;                       // of these records; nothing: not counted yet
  std::atomic<bool> other_digests_{false};                 // effects whose stored digest is not that of the value
};

}  // namespace deja::audit
