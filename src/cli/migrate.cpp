#include "cli/context.h"

#include "postgres/migrations.h"

namespace deja::cli {
namespace {

constexpr Field migrate_fields[] = {{"version_before", FieldType::number}, {"version_after", FieldType::number}, {"applied", FieldType::list}};

void print_sql(const postgres::MigrationResult& result) {
  print("-- from version " + std::to_string(result.version_before) + " to " + std::to_string(result.version_after) + "\n");
  for (const auto& sql : result.sql) print(sql + (sql.ends_with('\n') ? "" : "\n"));
  flush();
}

int migrate(const Context& context, bool dry_run) {
  const auto config = context.load();
  const auto connection = open_postgres(config, "migrate", dry_run);
  const auto result = postgres::migrate(*connection, config.text("postgres.schema"), dry_run);
  if (dry_run && context.list.format == Format::table) {
    print_sql(result);
    return exit_code::clean;
  }
  Output output(context.list, migrate_fields);
  output.row({std::int64_t{result.version_before}, std::int64_t{result.version_after}, result.applied});
  output.finish();
  return exit_code::clean;
}

}  // namespace

void add_migrate(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("migrate", "Brings deja's schema in the database up to date; repeatable");
  auto dry_run = std::make_shared<bool>(false);
  command->add_flag("--dry-run", *dry_run, "Print the SQL that would run, and change nothing");
  add_output_option(*command, context);
  command->callback([&context, dry_run] { context.run = [&context, dry_run] { return migrate(context, *dry_run); }; });
}

}  // namespace deja::cli
