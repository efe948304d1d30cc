#include <iostream>

#include "cli/context.h"
#include "postgres/audit_log_store.h"
#include "postgres/explain.h"
#include "postgres/migrations.h"

namespace deja::cli {
namespace {

constexpr Field audit_log_fields[] = {{"id", FieldType::number}, {"at", FieldType::time}, {"who"}, {"action"}, {"group"}, {"reason"}, {"detail"}, {"hash"}};

int verify(postgres::Connection& connection, const postgres::AuditLogStore& log) {
  const auto verdict = postgres::explained(connection, [&] { return log.verify(connection); });
  if (verdict.broken) {
    std::cerr << "deja: the audit log was changed: row " << verdict.broken->id << ": " << verdict.broken->what << std::endl;
    return exit_code::finding;
  }
  std::cerr << verdict.rows << " rows, each as it was written and following the one before it\n";
  return exit_code::clean;
}

int show(const Context& context, bool verified) {
  Output output(context.list, audit_log_fields);
  const auto config = context.load();
  const auto connection = open_postgres(config, "audit-log");
  const auto& schema = config.text("postgres.schema");
  postgres::check_schema(*connection, schema);
  const postgres::AuditLogStore log(schema);
  if (verified) return verify(*connection, log);
  postgres::explained(*connection, [&] {
    log.read(*connection, context.group(config), [&](const postgres::AuditRow& row) {
      return output.row({row.id, row.at, row.who, row.action, cell_of(row.group), row.reason, row.detail, row.hash});
    });
  });
  output.finish();
  return exit_code::clean;
}

}  // namespace

void add_audit_log(CLI::App& app, Context& context) {
  auto verified = std::make_shared<bool>(false);
  auto* command = app.add_subcommand("audit-log", "Shows what operators did and programs decided alone, oldest first");
  command->add_flag("--verify", *verified, "Check the chain of all rows instead; ends with 1 at the first broken link");
  add_group_option(*command, context);
  add_list_options(*command, context, audit_log_fields);
  command->callback([&context, verified] { context.run = [&context, verified] { return show(context, *verified); }; });
}

}  // namespace deja::cli
