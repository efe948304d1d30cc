#include <algorithm>
#include <iostream>
#include <limits>

#include <nlohmann/json.hpp>

#include "cli/change.h"
#include "cli/dlq.h"
#include "cli/lane_transaction.h"
#include "postgres/explain.h"
#include "postgres/migrations.h"
#include "postgres/replay_admin.h"

// What operators did with dead letters: looked at, and, where a replay is on its way, paused, resumed or cancelled.

namespace deja::cli {
namespace {

constexpr Field action_fields[] = {{"action_id", FieldType::number}, {"group"}, {"kind"}, {"who"}, {"reason"}, {"at", FieldType::time}, {"state"}, {"state_cause"},
                                   {"matched", FieldType::number}, {"accepted", FieldType::number}, {"refused", FieldType::number}, {"queued", FieldType::number},
                                   {"running", FieldType::number}, {"done", FieldType::number}, {"failed", FieldType::number}, {"cancelled", FieldType::number},
                                   {"differed", FieldType::number}, {"rate", FieldType::number}, {"eta", FieldType::number}, {"finished_at", FieldType::time}};
constexpr Field item_fields[] = {{"action_id", FieldType::number}, {"id", FieldType::number}, {"topic"}, {"partition", FieldType::number}, {"offset", FieldType::number},
                                 {"forecast"}, {"state"}, {"outcome"}, {"as_foretold", FieldType::flag}, {"at", FieldType::time}};

Row to_row(const postgres::ActionRow& a) {
  return {a.id, a.group, a.redirect_to ? "redirect to " + *a.redirect_to : a.kind, a.who, a.reason, a.at, a.state, cell_of(a.state_cause), a.matched, a.accepted, a.refused, a.queued, a.running, a.done, a.failed, a.cancelled,
          a.differed, cell_of(a.rate), cell_of(a.eta), cell_of(a.finished_at)};
}

struct ActionsOptions {
  std::optional<std::int64_t> id;
  bool records = false;
};

// Their dead letters are counted, which takes its time: no more of them than are shown.
std::int64_t most_shown(const ListOptions& list) {
  if (!list.filter.empty() || list.count) return std::numeric_limits<std::int64_t>::max();
  return list.limit.value_or(list.format == Format::table ? 101 : std::numeric_limits<std::int64_t>::max() - 1) + 1;
}

Stop no_such_action(std::int64_t id) { return Stop(exit_code::wrong_data, "there is no action " + std::to_string(id) + ": deja dlq actions"); }

int show_actions(const Context& context, const ActionsOptions& options) {
  if (options.records && !options.id) throw Stop(exit_code::usage, "--records: of which action? deja dlq actions ID --records");
  Output output(context.list, options.records ? std::span<const Field>(item_fields) : action_fields);
  const auto config = context.load();
  const auto connection = open_postgres(config, "dlq actions");
  const auto& schema = config.text("postgres.schema");
  postgres::check_schema(*connection, schema);
  postgres::ReplayAdmin admin(*connection, schema);
  const auto rows = postgres::explained(*connection, [&] { return admin.actions(options.id ? "" : context.group(config), options.id, most_shown(context.list)); });
  if (options.id && rows.empty()) throw no_such_action(*options.id);
  if (options.records) {
    postgres::explained(*connection, [&] {
      admin.items(*options.id, [&](const postgres::ActionItem& i) {
        const auto fits = i.outcome ? Cell(core::came_true(i.forecast, *i.outcome)) : Cell();
        return output.row({*options.id, i.dead_letter, i.topic, i.partition, i.offset, i.forecast, i.state, cell_of(i.outcome), fits, i.at});
      });
    });
  } else {
    for (const auto& row : rows)
      if (!output.row(to_row(row))) break;
  }
  output.finish();
  return exit_code::clean;
}

struct ActionMove {
  const char *name, *help, *to;
  std::vector<std::string> from;
};

const ActionMove action_moves[] = {{"pause", "A replay stands still: what its lanes have already goes on", "paused", {"running"}},
                      {"resume", "A paused replay goes on", "running", {"paused"}},
                      {"cancel", "A replay ends: what has not run yet is an open dead letter again, as it was", "cancelled", {"running", "paused", "stopped", "cancelled"}}};

struct ActionMoveOptions {
  std::int64_t id = 0;
  ChangeOptions change;
};

int move_action(const Context& context, const ActionMove& words, const ActionMoveOptions& options) {
  check_change(options.change);
  Output output(context.list, action_fields);
  const auto config = context.load();
  const std::string command = std::string("dlq ") + words.name;
  const auto connection = open_for_change(config, command);
  const auto& schema = config.text("postgres.schema");
  postgres::ReplayAdmin admin(*connection, schema);
  const auto look = [&] { return postgres::explained(*connection, [&] { return admin.actions("", options.id, 1); }); };
  const auto before = look();
  if (before.empty()) throw no_such_action(options.id);
  const auto& action = before.front();
  const auto name = "action " + std::to_string(options.id);
  if (action.kind != "replay") throw Stop(exit_code::wrong_data, name + " is no replay but a " + action.kind + ", which its command did: nothing was changed");
  const auto refused = [&](const std::string& state) { return Stop(exit_code::wrong_data, name + " is " + state + " and cannot be " + words.to + ": nothing was changed"); };
  const bool over = action.state == words.to && action.running == 0;  // else a cancel was cut off
  if (over || std::find(words.from.begin(), words.from.end(), action.state) == words.from.end()) throw refused(action.state);
  confirm(options.change, {name + " (" + action.reason + ") will be " + words.to});
  const postgres::AuditEntry entry{command, action.group, options.change.reason, nlohmann::json({{"action_id", options.id}}).dump()};
  in_lane_transaction(*connection, schema, entry, name, [&]() -> std::optional<std::string> {
    if (!admin.move(options.id, words.from, words.to, std::string(words.to) == "running" ? "" : options.change.reason)) throw refused("in another state by now");
    if (std::string(words.to) == "cancelled") admin.open_rest(options.id);
    return entry.detail;
  });
  if (std::string(words.to) == "cancelled")  // nobody feeds it any more
    for (const auto lane : postgres::explained(*connection, [&] { return admin.lanes_of(options.id); }))
      in_lane_transaction(*connection, schema, entry, name + " is cancelled, but what is in its lanes goes on: cancel it once more; one of them", [&]() -> std::optional<std::string> {
        const auto taken = admin.take_back(options.id, lane);
        if (taken == 0) return std::nullopt;
        return nlohmann::ordered_json({{"action_id", options.id}, {"lane", lane}, {"taken_back", taken}}).dump();
      });
  output.row(to_row(look().at(0)));
  output.finish();
  return exit_code::clean;
}

}  // namespace

void add_dlq_actions(CLI::App& dlq, Context& context) {
  auto o = std::make_shared<ActionsOptions>();
  auto* command = dlq.add_subcommand("actions", "What operators did with dead letters, newest first, and how far it is");
  command->add_option("ID", o->id, "This one alone");
  command->add_flag("--records", o->records, "Of this one the dead letters: what was foretold, and what became of them");
  add_group_option(*command, context);
  add_list_options(*command, context, action_fields);
  std::string item_names;
  for (const auto& field : item_fields) item_names += (item_names.empty() ? "" : ", ") + std::string(field.name);
  command->footer(command->get_footer() + "\nWith --records: " + item_names);
  command->callback([&context, o] { context.run = [&context, o] { return show_actions(context, *o); }; });
  for (const auto& words : action_moves) {
    auto options = std::make_shared<ActionMoveOptions>();
    auto* change = dlq.add_subcommand(words.name, words.help);
    change->add_option("ID", options->id, "The replay's action_id")->required();
    add_change_options(*change, options->change);
    add_output_option(*change, context);
    change->callback([&context, &words, options] { context.run = [&context, &words, options] { return move_action(context, words, *options); }; });
  }
}

}  // namespace deja::cli
