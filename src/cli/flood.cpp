#include "cli/change.h"
#include "cli/context.h"

#include <algorithm>
#include <chrono>

#include <nlohmann/json.hpp>

#include "postgres/admin.h"
#include "postgres/audit_log_store.h"
#include "postgres/explain.h"
#include "postgres/flood_store.h"
#include "postgres/migrations.h"
#include "postgres/transaction_control.h"

namespace deja::cli {
namespace {

// as for breakers, whose list this one is read beside
constexpr Field flood_fields[] = {{"dependency"}, {"handler"}, {"state"}, {"since", FieldType::time}, {"cause"}, {"fingerprint"}};

struct RulingOptions {
  std::string handler;
  ChangeOptions change;
};

bool show(Output& output, const postgres::FloodRow& row) {
  return output.row({Cell(), row.handler, row.state, row.since, cell_of(row.cause), cell_of(row.fingerprint)});
}

int show_floods(const Context& context, const std::string& handler) {
  Output output(context.list, flood_fields);
  const auto config = context.load();
  const auto connection = open_postgres(config, "flood");
  const auto& schema = config.text("postgres.schema");
  postgres::check_schema(*connection, schema);
  for (const auto& row : postgres::Admin(*connection, schema, context.group(config)).floods())
    if ((handler.empty() || row.handler == handler) && !show(output, row)) break;
  output.finish();
  return exit_code::clean;
}

constexpr std::chrono::seconds ruling_taken_up_within{5};

// The processes take it up with their next look, within two seconds.
int rule(const Context& context, const RulingOptions& options, bool poison) {
  check_change(options.change);
  Output output(context.list, flood_fields);
  const std::string command = poison ? "flood poison" : "flood outage";
  const auto config = context.load();
  const auto group = context.group(config);
  if (group.empty()) throw Stop(exit_code::usage, command + ": of which group? Give --group GROUP or set group.id");
  const auto connection = open_for_change(config, command);
  const auto& schema = config.text("postgres.schema");
  const std::string from = poison ? "outage" : "poison";
  const auto meant = [&] {
    auto rows = postgres::Admin(*connection, schema, group).floods();
    std::erase_if(rows, [&](const auto& row) { return row.handler != options.handler; });
    return rows;
  };
  const auto left = [&](const auto& rows) { return std::any_of(rows.begin(), rows.end(), [&](const auto& row) { return row.state == from; }); };
  auto rows = meant();
  if (!left(rows))
    throw Stop(exit_code::wrong_data, poison ? "handler " + options.handler + " of group " + group + " has no flood that is taken for an outage (deja flood)"
                                             : "no flood of handler " + options.handler + " of group " + group + " was ruled to be poison (deja flood); to hold records back: deja lanes pause");
  std::vector<std::string> fingerprints;
  std::string causes;
  for (const auto& row : rows) {
    if (row.state != from || !row.fingerprint) continue;
    fingerprints.push_back(*row.fingerprint);
    causes += (causes.empty() ? "\"" : " or \"") + row.cause.value_or("") + '"';
  }
  confirm(options.change, {poison ? "records of handler " + options.handler + " that fail with " + causes + " are tried as often as they may be and then become dead letters, in every process of group " + group
                                  : "records of handler " + options.handler + " that fail with " + causes + " wait again, in every process of group " + group});
  const nlohmann::ordered_json detail = {{"handler", options.handler}, {"causes", causes}, {"fingerprints", fingerprints}};
  postgres::explained(*connection, [&] {
    postgres::in_transaction(*connection, [&] {
      postgres::FloodStore::rule(*connection, schema, group, options.handler, fingerprints, poison, options.change.reason);
      postgres::AuditLogStore(schema).append(*connection, {command, group, options.change.reason, detail.dump()});
    });
  });
  taken_up(ruling_taken_up_within, [&] {
    rows = meant();
    return !left(rows);
  });
  for (const auto& row : rows) show(output, row);
  output.finish();
  return exit_code::clean;
}

}  // namespace

void add_flood(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("flood", "Shows where most records fail with one cause, which is taken for an outage; says what it is");
  auto of = std::make_shared<std::string>();
  command->add_option("--handler", *of, "Only this handler");
  add_group_option(*command, context);
  add_list_options(*command, context, flood_fields);
  command->callback([&context, command, of] {  // runs after that of a subcommand too
    if (command->get_subcommands().empty()) context.run = [&context, of] { return show_floods(context, *of); };
  });
  const auto add = [&](const char* name, const char* words, bool poison) {
    auto o = std::make_shared<RulingOptions>();
    auto* sub = command->add_subcommand(name, words);
    sub->add_option("--handler", o->handler, "The handler whose records fail")->required();
    add_change_options(*sub, o->change);
    add_group_option(*sub, context);
    add_output_option(*sub, context);
    sub->callback([&context, o, poison] { context.run = [&context, o, poison] { return rule(context, *o, poison); }; });
  };
  add("poison", "It is poison: what fails so is tried as often as it may be, and becomes a dead letter", true);
  add("outage", "It is an outage after all: what fails so waits again", false);
}

}  // namespace deja::cli
