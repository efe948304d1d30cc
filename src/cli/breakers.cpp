#include "cli/change.h"
#include "cli/context.h"

#include <algorithm>
#include <chrono>

#include <nlohmann/json.hpp>

#include "postgres/admin.h"
#include "postgres/audit_log_store.h"
#include "postgres/breaker_store.h"
#include "postgres/explain.h"
#include "postgres/migrations.h"
#include "postgres/transaction_control.h"

namespace deja::cli {
namespace {

constexpr Field breakers_fields[] = {{"dependency"}, {"handler"}, {"state"}, {"since", FieldType::time}, {"cause"}};

struct ResetOptions {
  std::string dependency, handler;
  ChangeOptions change;
};

bool show(Output& output, const postgres::BreakerRow& row) { return output.row({row.dependency, row.handler, row.state, row.since, cell_of(row.cause)}); }

int show_breakers(const Context& context) {
  Output output(context.list, breakers_fields);
  const auto config = context.load();
  const auto connection = open_postgres(config, "breakers");
  const auto& schema = config.text("postgres.schema");
  postgres::check_schema(*connection, schema);
  for (const auto& row : postgres::Admin(*connection, schema, context.group(config)).breakers())
    if (!show(output, row)) break;
  output.finish();
  return exit_code::clean;
}

constexpr std::chrono::seconds taken_up_within{5};

// The processes take it up with their next look, within two seconds.
int reset(const Context& context, const ResetOptions& options) {
  check_change(options.change);
  Output output(context.list, breakers_fields);
  const auto config = context.load();
  const auto group = context.group(config);
  if (group.empty()) throw Stop(exit_code::usage, "breakers reset: of which group? Give --group GROUP or set group.id");
  const auto connection = open_for_change(config, "breakers reset");
  const auto& schema = config.text("postgres.schema");
  const auto of_handler = options.handler.empty() ? "" : " of handler " + options.handler;
  const auto meant = [&] {
    auto rows = postgres::Admin(*connection, schema, group).breakers();
    std::erase_if(rows, [&](const auto& row) { return row.dependency != options.dependency || (!options.handler.empty() && row.handler != options.handler); });
    return rows;
  };
  const auto all_closed = [](const auto& rows) { return std::all_of(rows.begin(), rows.end(), [](const auto& row) { return row.state == "closed"; }); };
  if (all_closed(meant()))
    throw Stop(exit_code::wrong_data, "no running process of group " + group + " has a breaker for " + options.dependency + of_handler + " that is not closed (deja breakers)");
  confirm(options.change, {"the breaker of " + options.dependency + of_handler + " is closed in every process of group " + group + ", which call it again at once"});
  const nlohmann::ordered_json detail = {{"dependency", options.dependency}, {"handler", options.handler.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(options.handler)}};
  postgres::explained(*connection, [&] {
    postgres::in_transaction(*connection, [&] {
      postgres::BreakerStore::ask_to_close(*connection, schema, group, options.dependency, options.handler);
      postgres::AuditLogStore(schema).append(*connection, {"breakers reset", group, options.change.reason, detail.dump()});
    });
  });
  std::vector<postgres::BreakerRow> rows;
  taken_up(taken_up_within, [&] {
    rows = meant();
    return all_closed(rows);
  });
  for (const auto& row : rows) show(output, row);
  output.finish();
  return exit_code::clean;
}

}  // namespace

void add_breakers(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("breakers", "Shows the breakers of the dependencies that handlers named as unavailable");
  add_group_option(*command, context);
  add_list_options(*command, context, breakers_fields);
  command->callback([&context, command] {  // runs after that of a subcommand too
    if (command->get_subcommands().empty()) context.run = [&context] { return show_breakers(context); };
  });
  auto o = std::make_shared<ResetOptions>();
  auto* sub = command->add_subcommand("reset", "Closes a breaker in every process: the dependency is back, and need not be probed");
  sub->add_option("NAME", o->dependency, "The dependency, as the handler names it")->required();
  sub->add_option("--handler", o->handler, "Only the breaker of this handler");
  add_change_options(*sub, o->change);
  add_group_option(*sub, context);
  add_output_option(*sub, context);
  sub->callback([&context, o] { context.run = [&context, o] { return reset(context, *o); }; });
}

}  // namespace deja::cli
