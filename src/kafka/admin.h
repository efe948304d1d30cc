#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "kafka/partition.h"

// Questions to Kafka, for commands and checks. Nothing here joins a group or writes.

namespace deja::kafka {

/// librdkafka's version, "2.0.2".
std::string library_version();

struct TopicState {
  bool exists = false;
  std::int32_t partitions = 0;
  std::string error;        ///< why not, in words
  bool not_allowed = false;  ///< no permission to describe it
};

struct LogRange {
  std::int64_t start = 0;  ///< the first offset still kept
  std::int64_t end = 0;    ///< the next one to be written
};

struct GroupOffset {
  std::int64_t offset = 0;
  std::string metadata;
};

/// Kafka did not answer in time.
class Unreachable : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Threading: one thread. Every question waits for at most `timeout` and throws Unreachable with the cause after that.
class Admin {
 public:
  using Settings = std::vector<std::pair<std::string, std::string>>;
  /// `group`: whose offsets group_offsets() reads. Throws Stop (78) for settings that librdkafka refuses.
  Admin(const Settings& settings, const std::string& group, std::chrono::milliseconds timeout);
  ~Admin();
  Admin(const Admin&) = delete;
  Admin& operator=(const Admin&) = delete;

  /// Throws Unreachable.
  void check_reachable();
  TopicState topic(const std::string& name);
  /// Partitions that Kafka does not know are left out.
  std::map<Partition, LogRange> ranges(const Partitions& partitions);
  /// The first record of each at or after a time (milliseconds since 1970), or the end of the log where there is none.
  std::map<Partition, std::int64_t> offsets_at(const Partitions& partitions, std::int64_t timestamp_ms);
  /// Partitions for which the group has committed nothing are left out.
  std::map<Partition, GroupOffset> group_offsets(const Partitions& partitions);
  /// A topic's settings such as retention.ms; empty when the broker does not tell.
  std::map<std::string, std::string> topic_settings(const std::string& name);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace deja::kafka
