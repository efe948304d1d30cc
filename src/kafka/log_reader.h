#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/source_record.h"
#include "kafka/partition.h"

namespace deja::kafka {

struct LogSlice {
  Partition partition;
  std::int64_t from = 0, until = 0;  ///< offsets, until is not included
};

/// One reading of the log. Records that it gave must be gone before it is.
class LogReading {
 public:
  LogReading(const std::vector<std::pair<std::string, std::string>>& settings, const std::vector<LogSlice>& slices);
  ~LogReading();

  /// See LogReader::read. Once.
  void run(const std::function<void(core::SourceRecord)>& visit, const std::function<void(std::int64_t)>& progress, std::chrono::milliseconds patience);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// Reads parts of the log again, as a consumer of its own that joins no group and commits nothing. Committed records only: what an
/// aborted transaction wrote is no record, and neither are control markers.
///
/// Threading: one thread.
class LogReader {
 public:
  using Settings = std::vector<std::pair<std::string, std::string>>;
  /// `group`: named to the brokers, which may let only certain groups read. Throws Stop (78) for settings that librdkafka refuses.
  LogReader(Settings settings, std::string group);

  /// For who keeps records beyond `visit`.
  LogReading open(const std::vector<LogSlice>& slices) const { return {settings_, slices}; }
  /// Calls `visit` for every record, which it must not keep, each partition in log order; `progress`, with how many offsets are passed,
  /// a few times a second. Throws Stop (75) when Kafka is silent for `patience`.
  void read(const std::vector<LogSlice>& slices, const std::function<void(core::SourceRecord)>& visit,
            const std::function<void(std::int64_t)>& progress) const {
    open(slices).run(visit, progress, patience);
  }
  static constexpr std::chrono::seconds patience{60};

 private:
  Settings settings_;
};

}  // namespace deja::kafka
