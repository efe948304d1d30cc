#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
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

/// Reads parts of the log again, as a consumer of its own that joins no group and commits nothing. Committed records only: what an
/// aborted transaction wrote is no record, and neither are control markers.
///
/// Threading: one thread.
class LogReader {
 public:
  using Settings = std::vector<std::pair<std::string, std::string>>;
  /// `group`: named to the brokers, which may let only certain groups read. Throws Stop (78) for settings that librdkafka refuses.
  LogReader(Settings settings, std::string group);

  /// Calls `visit` for every record, each partition in log order; `progress`, with how many offsets are passed, a few times a second.
  /// Throws Stop (75) when Kafka is silent for `patience`.
  void read(const std::vector<LogSlice>& slices, const std::function<void(core::SourceRecord)>& visit,
            const std::function<void(std::int64_t)>& progress, std::chrono::milliseconds patience = std::chrono::seconds(60)) const;

 private:
  Settings settings_;
};

}  // namespace deja::kafka
