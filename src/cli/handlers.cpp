#include "cli/context.h"

#include "postgres/admin.h"
#include "postgres/migrations.h"

namespace deja::cli {
namespace {

constexpr Field handlers_fields[] = {{"group"}, {"handler"},   {"topics", FieldType::list}, {"strategy"}, {"build"}, {"instances", FieldType::number},
                            {"last_seen", FieldType::time}};

int show_handlers(const Context& context) {
  Output output(context.list, handlers_fields);
  const auto config = context.load();
  const auto connection = open_postgres(config, "handlers");
  const auto& schema = config.text("postgres.schema");
  postgres::check_schema(*connection, schema);
  for (auto& row : postgres::Admin(*connection, schema, context.group(config)).handlers()) {
    if (!output.row({row.group, row.handler, row.topics, row.strategy, row.build, row.instances, row.last_seen})) break;
  }
  output.finish();
  return exit_code::clean;
}

}  // namespace

void add_handlers(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("handlers", "Shows who handles which topics, and what identifies a record there");
  add_group_option(*command, context);
  add_list_options(*command, context, handlers_fields);
  command->callback([&context] { context.run = [&context] { return show_handlers(context); }; });
}

}  // namespace deja::cli
