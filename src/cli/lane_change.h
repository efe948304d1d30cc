#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cli/change.h"
#include "postgres/lane_moves.h"
#include "postgres/rights.h"

// What `lanes reset` and `lanes accept-loss` share: the group and its partitions in both servers, and a transaction for each partition.

namespace deja::cli {

class LaneChange {
 public:
  /// Opens both servers. `partition` absent: all of the topic that the group has lanes for. Throws Stop: 64 without a group, 65 when
  /// group, topic or partition is not there; 77 when the login may not do this. `duty` absent: nothing is changed.
  LaneChange(const Context& context, const std::string& command, const std::string& topic, std::optional<std::int32_t> partition, std::optional<postgres::Duty> duty);

  struct Partition {
    postgres::LanePartition name;
    std::vector<postgres::LanePosition> lanes;
    kafka::LogRange log;
  };
  const std::vector<Partition>& partitions() const { return partitions_; }
  const std::string& group() const { return group_; }
  kafka::Admin& kafka() { return *kafka_; }
  const postgres::LaneMoves& moves() const { return moves_; }
  postgres::Connection& connection() { return *connection_; }

  /// Runs `work` with the partition's lanes as they are under their locks. It returns what is to be written to the audit log. Throws
  /// Stop (75) when a batch holds a lane for long.
  void in_transaction(const Partition& partition, const std::string& reason, const std::function<std::string(const std::vector<postgres::LanePosition>&)>& work);

  /// Kafka's committed offsets too, as far as they can be moved from outside; says in words what became of that.
  void move_group(const std::vector<std::pair<kafka::Partition, std::int64_t>>& offsets);

 private:
  const config::Config config_;
  const std::string command_, group_, schema_;
  std::unique_ptr<postgres::Connection> connection_;
  std::unique_ptr<kafka::Admin> kafka_;
  postgres::LaneMoves moves_;
  std::vector<Partition> partitions_;
};

/// "payments/3"
std::string name_of(const postgres::LanePartition& partition);
/// The first and the last offset, for people.
std::string in_words(const kafka::LogRange& log);

}  // namespace deja::cli
