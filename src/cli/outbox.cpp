#include "cli/context.h"

#include "postgres/admin.h"
#include "postgres/migrations.h"

namespace deja::cli {
namespace {

constexpr Field outbox_fields[] = {{"group"}, {"topic"}, {"partition", FieldType::number}, {"lane", FieldType::number}, {"unpublished", FieldType::number},
                            {"oldest_age", FieldType::number}, {"stuck_cause"}};

int show_outbox(const Context& context) {
  Output output(context.list, outbox_fields);
  const auto config = context.load();
  const auto connection = open_postgres(config, "outbox");
  const auto& schema = config.text("postgres.schema");
  postgres::check_schema(*connection, schema);
  for (auto& row : postgres::Admin(*connection, schema, context.group(config)).outbox()) {
    if (!output.row({row.group, row.topic, row.partition, row.lane, row.unpublished, cell_of(row.oldest_age), Cell()})) break;
  }
  output.finish();
  return exit_code::clean;
}

}  // namespace

void add_outbox(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("outbox", "Shows how many events of each lane wait for Kafka, and for how long");
  add_group_option(*command, context);
  add_list_options(*command, context, outbox_fields);
  command->callback([&context] { context.run = [&context] { return show_outbox(context); }; });
}

}  // namespace deja::cli
