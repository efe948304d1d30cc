#include "cli/lanes.h"

#include <algorithm>
#include <map>

#include "postgres/admin.h"
#include "postgres/migrations.h"

namespace deja::cli {
namespace {

constexpr Field lanes_fields[] = {
    {"group"}, {"topic"}, {"partition", FieldType::number}, {"lane", FieldType::number}, {"instance"}, {"owner_epoch", FieldType::number},
    {"next_offset", FieldType::number}, {"log_end_offset", FieldType::number}, {"lag", FieldType::number}, {"parked", FieldType::number},
    {"published_seq", FieldType::number}, {"next_event_seq", FieldType::number}, {"paused_cause"}, {"blocked_by"}, {"last_commit_at", FieldType::time}};

kafka::Partition partition_of(const postgres::LaneRow& row) { return {row.topic, static_cast<std::int32_t>(row.partition)}; }

// Without Kafka the rest is still worth showing.
std::map<kafka::Partition, kafka::LogRange> log_ends(const config::Config& config, const std::vector<postgres::LaneRow>& rows) {
  kafka::Partitions partitions;
  for (const auto& row : rows) partitions.push_back(partition_of(row));
  std::sort(partitions.begin(), partitions.end());
  partitions.erase(std::unique(partitions.begin(), partitions.end()), partitions.end());
  try {
    return open_kafka(config, "")->ranges(partitions);
  } catch (const std::exception& error) {
    warn(std::string("log_end_offset and lag are not known, Kafka is away: ") + error.what());
    return {};
  }
}

int show_lanes(const Context& context) {
  Output output(context.list, lanes_fields);
  const auto config = context.load();
  const auto connection = open_postgres(config, "lanes");
  const auto& schema = config.text("postgres.schema");
  postgres::check_schema(*connection, schema);
  const auto rows = postgres::Admin(*connection, schema, context.group(config)).lanes();
  const auto ends = rows.empty() ? std::map<kafka::Partition, kafka::LogRange>() : log_ends(config, rows);
  for (const auto& row : rows) {
    Cell end;
    Cell lag;
    if (const auto found = ends.find(partition_of(row)); found != ends.end()) {
      end = found->second.end;
      lag = std::max<std::int64_t>(0, found->second.end - row.next_offset);
    }
    if (!output.row({row.group, row.topic, row.partition, row.lane, cell_of(row.instance), row.owner_epoch, row.next_offset, end, lag, row.parked,
                     row.published_seq, row.next_event_seq, cell_of(row.paused_cause), cell_of(row.blocked_by), cell_of(row.last_commit_at)})) {
      break;
    }
  }
  output.finish();
  return exit_code::clean;
}

}  // namespace

std::string footer_of(std::span<const Field> fields) {
  std::string names;
  for (const auto& field : fields) names += (names.empty() ? "" : ", ") + std::string(field.name);
  return "Fields: " + names;
}

void add_lanes(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("lanes", "Shows each lane's owner, progress and lag");
  add_group_option(*command, context);
  add_list_options(*command, context, lanes_fields);
  command->callback([&context, command] {  // runs after that of a subcommand too
    if (command->get_subcommands().empty()) context.run = [&context] { return show_lanes(context); };
  });
  add_lanes_reset(*command, context);
  add_lanes_accept_loss(*command, context);
  add_lanes_orders(*command, context);
}

}  // namespace deja::cli
