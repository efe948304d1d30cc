#include "cli/outbox.h"

#include "postgres/admin.h"
#include "postgres/migrations.h"

namespace deja::cli {
namespace {

constexpr Field outbox_fields[] = {{"group"}, {"topic"}, {"partition", FieldType::number}, {"lane", FieldType::number}, {"unpublished", FieldType::number},
                            {"oldest_age", FieldType::number}, {"stuck_cause"}, {"stuck", FieldType::number}};

constexpr Field fields_of_stuck[] = {
    {"event_id"}, {"group"}, {"topic"}, {"partition", FieldType::number}, {"lane", FieldType::number}, {"seq", FieldType::number}, {"event_topic"},
    {"event_key", FieldType::bytes}, {"state"}, {"attempts", FieldType::number}, {"error"}, {"size", FieldType::number}, {"at", FieldType::time}, {"stuck_at", FieldType::time}};

int show_outbox(const Context& context) {
  Output output(context.list, outbox_fields);
  const auto config = context.load();
  const auto connection = open_postgres(config, "outbox");
  const auto& schema = config.text("postgres.schema");
  postgres::check_schema(*connection, schema);
  for (auto& row : postgres::Admin(*connection, schema, context.group(config)).outbox()) {
    if (!output.row({row.group, row.topic, row.partition, row.lane, row.unpublished, cell_of(row.oldest_age), cell_of(row.stuck_cause), row.stuck})) break;
  }
  output.finish();
  return exit_code::clean;
}

int list_stuck(const Context& context, const std::string& topic) {
  Output output(context.list, stuck_fields());
  const auto config = context.load();
  const auto connection = open_postgres(config, "outbox list");
  const auto& schema = config.text("postgres.schema");
  postgres::check_schema(*connection, schema);
  postgres::StuckAdmin(*connection, schema, context.group(config)).list({.topic = topic}, [&](const auto& event) { return output.row(to_row(event)); });
  output.finish();
  return exit_code::clean;
}

}  // namespace

std::span<const Field> stuck_fields() { return fields_of_stuck; }

Row to_row(const postgres::StuckListing& e) {
  return {e.event_id, e.group, e.topic, e.partition, e.lane, e.seq, e.event_topic, cell_of(e.event_key), e.state, e.attempts, cell_of(e.error), e.size, e.at, e.stuck_at};
}

void add_outbox(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("outbox", "Shows how many events of each lane wait for Kafka, for how long, and what was set aside");
  add_group_option(*command, context);
  add_list_options(*command, context, outbox_fields);
  command->callback([&context, command] {  // runs after that of a subcommand too
    if (command->get_subcommands().empty()) context.run = [&context] { return show_outbox(context); };
  });
  auto topic = std::make_shared<std::string>();
  auto* sub = command->add_subcommand("list", "Lists events that Kafka refuses, and those behind them: others pass them");
  sub->add_option("--topic", *topic, "Only events of records of this topic");
  add_group_option(*sub, context);
  add_list_options(*sub, context, stuck_fields());
  sub->callback([&context, topic] { context.run = [&context, topic] { return list_stuck(context, *topic); }; });
  add_outbox_changes(*command, context);
}

}  // namespace deja::cli
