#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/log.h"
#include "core/source_record.h"
#include "kafka/partition.h"

namespace deja::kafka {

/// What a poll may bring beside a record.
struct OffsetLost {  ///< the wanted offset is not in the log any more
  Partition partition;
  std::string error;
};
struct PartitionError {
  Partition partition;
  std::string error;
};
struct EndOfPartition {  ///< all records below `offset`, the end of what may be read now, were polled; markers need no record
  Partition partition;
  std::int64_t offset;
};
using Polled = std::variant<std::monostate, core::SourceRecord, EndOfPartition, OffsetLost, PartitionError>;

/// Told of the group's decisions, on the polling thread, inside poll() or close().
class GroupListener {
 public:
  virtual ~GroupListener() = default;
  /// The partitions are assigned and stand still until Consumer::start.
  virtual void assigned(const Partitions& partitions) = 0;
  /// The partitions are to be given up. The listener calls Consumer::give_up when their work is done; `lost` when the group has
  /// already given them to others. Inside close() the consumer gives them up itself afterwards.
  virtual void revoked(const Partitions& partitions, bool lost) = 0;
  struct Refetch {
    std::int64_t from = 0;
    bool paused = true;
  };
  /// What is fetched of a partition is thrown away, because another one had to be started anew: where it goes on. Inside Consumer::start.
  virtual Refetch refetched(const Partition& partition) = 0;
  virtual void group_error(const std::string& error, bool fatal) = 0;
};

struct CommittedOffset {
  Partition partition;
  std::int64_t offset;
  std::string metadata;
};

struct Watermarks {
  std::int64_t low = -1, high = -1;
};

/// A member of a consumer group. Kafka's committed offset only feeds lag tools here: the offsets to start from come from the caller.
///
/// Threading: one thread owns it (poll, start, pause, resume, give_up, commit, close), but the look-ups at the end, which any
/// thread may call and which wait for the broker.
class Consumer {
 public:
  using Settings = std::vector<std::pair<std::string, std::string>>;
  Consumer(const Settings& settings, const std::string& group_id, const std::string& client_id, GroupListener& listener, core::Log& log);
  ~Consumer();

  void subscribe(const std::vector<std::string>& topics);
  /// Leaves the group once its partitions are given up; subscribe() joins again.
  void unsubscribe();
  Polled poll(std::chrono::milliseconds timeout);

  /// Fetches from `offset` on. False: not possible now, try again later.
  bool start(const Partition& partition, std::int64_t offset);
  void pause(const Partition& partition);
  void resume(const Partition& partition);
  void give_up(const Partitions& partitions);
  /// Asynchronous; failures are counted and logged.
  void commit(const std::vector<CommittedOffset>& offsets, bool wait);
  void close();

  /// False while a commit could cost the assignment: cooperative rebalances of librdkafka before 2.10.
  bool may_commit_in_rebalance() const;
  /// An offset commit failed since the last call: what was committed is not known.
  bool take_commit_doubt();
  /// Failed offset commits since the last call.
  std::int64_t take_commit_errors();
  /// What the last fetch said; -1: not known yet.
  Watermarks cached_watermarks(const Partition& partition) const;

  // Look-ups, any thread. Nothing: Kafka did not answer in time, or does not know the topic.
  /// Offset -1: none.
  std::optional<CommittedOffset> committed(const Partition& partition, std::chrono::milliseconds timeout) const;
  std::optional<Watermarks> watermarks(const Partition& partition, std::chrono::milliseconds timeout) const;
  /// Number of partitions; 0: the topic does not exist; nothing: no answer.
  std::optional<int> partition_count(const std::string& topic, std::chrono::milliseconds timeout) const;
  bool reachable(std::chrono::milliseconds timeout) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace deja::kafka
