#include "cli/lane_change.h"

#include <iostream>

#include "cli/lane_transaction.h"
#include "kafka/group_offsets.h"
#include "postgres/explain.h"
#include "postgres/migrations.h"

namespace deja::cli {
namespace {

std::string required(std::string group) {
  if (group.empty()) throw Stop(exit_code::usage, "whose lanes: --group G, or group.id in the configuration");
  return group;
}

kafka::Partition in_kafka(const postgres::LanePartition& p) { return {p.topic, p.partition}; }

}  // namespace

std::string name_of(const postgres::LanePartition& partition) { return partition.topic + "/" + std::to_string(partition.partition); }

std::string in_words(const kafka::LogRange& log) {
  if (log.start == log.end) return "the log is empty, its next offset is " + std::to_string(log.end);
  return "the log holds " + std::to_string(log.start) + " to " + std::to_string(log.end - 1);
}

LaneChange::LaneChange(const Context& context, const std::string& command, const std::string& topic, std::optional<std::int32_t> partition, std::optional<postgres::Duty> duty)
    : config_(context.load()), command_(command), group_(required(context.group(config_))), schema_(config_.text("postgres.schema")),
      connection_(open_postgres(config_, command, !duty)), kafka_(open_kafka(config_, group_)), moves_(schema_) {
  postgres::check_schema(*connection_, schema_);
  if (duty) postgres::require(*connection_, schema_, *duty, command);
  const auto numbers = postgres::explained(*connection_, [&] { return moves_.partitions(*connection_, group_, topic); });
  if (numbers.empty()) throw Stop(exit_code::wrong_data, "group " + group_ + " has no lanes for topic " + topic + ": see deja lanes");
  for (const auto number : numbers)
    if (!partition || *partition == number) partitions_.push_back({{group_, topic, number}, {}, {}});
  if (partitions_.empty()) throw Stop(exit_code::wrong_data, "group " + group_ + " has no lanes for partition " + std::to_string(*partition) + " of topic " + topic);
  kafka::Partitions wanted;
  for (auto& p : partitions_) {
    wanted.push_back(in_kafka(p.name));
    p.lanes = postgres::explained(*connection_, [&] { return moves_.lanes(*connection_, p.name); });
  }
  try {
    const auto logs = kafka_->ranges(wanted);
    for (auto& p : partitions_) {
      const auto log = logs.find(in_kafka(p.name));
      if (log == logs.end()) throw Stop(exit_code::wrong_data, "Kafka has no partition " + name_of(p.name));
      p.log = log->second;
    }
  } catch (const kafka::Unreachable& error) {
    throw Stop(exit_code::unavailable, std::string("Kafka does not say what the log holds (kafka.bootstrap.servers): ") + error.what());
  }
}

void LaneChange::in_transaction(const Partition& partition, const std::string& reason,
                                const std::function<std::string(const std::vector<postgres::LanePosition>&)>& work) {
  in_lane_transaction(*connection_, schema_, {command_, group_, reason, {}}, name_of(partition.name), [&] { return work(moves_.lock(*connection_, partition.name)); });
}

void LaneChange::move_group(const std::vector<std::pair<kafka::Partition, std::int64_t>>& offsets) {
  if (offsets.empty()) return;
  try {
    const auto state = kafka::commit_for_empty_group(config_.kafka(config::Role::common), group_, offsets, "deja/reset", std::chrono::milliseconds(10'000));
    std::cerr << (state == kafka::GroupState::empty
                      ? "group " + group_ + " is not running; its offsets in Kafka were moved too\n"
                      : "group " + group_ + " is running; its programs go on from there within seconds and commit that to Kafka themselves\n");
  } catch (const kafka::Unreachable& error) {
    warn(std::string("the lanes are moved, but not the offsets in Kafka, which only lag tools read: ") + error.what());
  }
}

}  // namespace deja::cli
