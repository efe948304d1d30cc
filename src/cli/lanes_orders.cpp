#include <algorithm>
#include <chrono>
#include <iostream>

#include <nlohmann/json.hpp>

#include "cli/lane_change.h"
#include "cli/lanes.h"

// What an operator may want of lanes that goes on where it stands: pause, resume, and one record moved out of the way.

namespace deja::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr Field pause_fields[] = {{"group"}, {"topic"}, {"partition", FieldType::number}, {"lane", FieldType::number}, {"pause_reason"}};
constexpr Field dead_letter_fields[] = {{"group"}, {"topic"}, {"partition", FieldType::number}, {"offset", FieldType::number}, {"dlq_id", FieldType::number}};
constexpr std::chrono::seconds taken_up_within{15};

struct OrderOptions {
  std::string topic;
  std::optional<std::int32_t> partition, lane;
  std::optional<std::int64_t> offset;
  ChangeOptions change;
};

int pause_or_resume(const Context& context, const OrderOptions& options, bool pause) {
  check_change(options.change);
  Output output(context.list, pause_fields);
  const std::string command = pause ? "lanes pause" : "lanes resume";
  LaneChange change(context, command, options.topic, options.partition, postgres::Duty::change);
  const auto meant = [&](const postgres::LanePosition& lane) { return !options.lane || *options.lane == lane.lane; };
  std::int64_t lanes = 0;
  for (const auto& p : change.partitions())
    lanes += std::count_if(p.lanes.begin(), p.lanes.end(), [&](const auto& lane) { return meant(lane) && (pause || lane.pause_reason); });
  if (lanes == 0)
    throw Stop(exit_code::wrong_data, pause ? "no such lane: see deja lanes --group " + change.group() : "no lane of these is paused by an operator: see deja lanes --group " + change.group());
  confirm(options.change, {std::to_string(lanes) + (lanes == 1 ? " lane" : " lanes") + " of topic " + options.topic + " in group " + change.group() + (pause ? " stand still until resumed" : " go on")});
  std::vector<std::pair<postgres::LanePartition, std::vector<postgres::LanePosition>>> done;
  for (const auto& p : change.partitions()) {
    change.in_transaction(p, options.change.reason, [&](const std::vector<postgres::LanePosition>&) {
      if (pause) change.moves().pause(change.connection(), p.name, options.lane, options.change.reason);
      else change.moves().resume(change.connection(), p.name, options.lane);
      done.emplace_back(p.name, change.moves().lanes(change.connection(), p.name));
      return Json{{"topic", p.name.topic}, {"partition", p.name.partition}, {"lane", options.lane ? Json(*options.lane) : Json(nullptr)}}.dump();
    });
  }
  for (const auto& [name, now] : done)
    for (const auto& lane : now)
      if (meant(lane)) output.row({name.group, name.topic, std::int64_t{name.partition}, std::int64_t{lane.lane}, cell_of(lane.pause_reason)});
  output.finish();
  return exit_code::clean;
}

// What holds a lane up: the record that its owner waits with, or else the next one, where that is this lane's for certain.
std::int64_t blocking_offset(const LaneChange::Partition& p, const OrderOptions& options) {
  std::vector<std::int64_t> found;
  for (const auto& lane : p.lanes) {
    if (options.lane && *options.lane != lane.lane) continue;
    if (lane.blocked_by && lane.blocked_by->find("(parked, offset ") != std::string::npos)
      throw Stop(exit_code::usage, "what holds up " + name_of(p.name) + " is a parked record (" + *lane.blocked_by + "): deja parked list has its id, deja parked dead-letter moves it out of the way; or name another record, --offset N");
    const auto at = lane.blocked_by ? lane.blocked_by->rfind("(offset ") : std::string::npos;
    if (at != std::string::npos) found.push_back(std::stoll(lane.blocked_by->substr(at + 8)));
    else if (p.lanes.size() == 1) found.push_back(lane.next_offset);
  }
  if (found.size() != 1)
    throw Stop(exit_code::usage, found.empty() ? "no record of " + name_of(p.name) + " is known to hold up its lane: which one is meant? --offset N"
                                               : "several lanes of " + name_of(p.name) + " wait with a record: which one is meant? --lane N, or --offset N");
  return found.front();
}

int dead_letter(const Context& context, const OrderOptions& options) {
  check_change(options.change);
  Output output(context.list, dead_letter_fields);
  LaneChange change(context, "lanes dead-letter", options.topic, options.partition, postgres::Duty::change);
  const auto& p = change.partitions().front();
  const auto offset = options.offset ? *options.offset : blocking_offset(p, options);
  const auto place = name_of(p.name) + " offset " + std::to_string(offset);
  const auto check = [&](const std::vector<postgres::LanePosition>& lanes) {
    if (offset < p.log.start || offset >= p.log.end) throw Stop(exit_code::wrong_data, place + " is not in the log: " + in_words(p.log));
    if (std::all_of(lanes.begin(), lanes.end(), [&](const auto& lane) { return lane.next_offset > offset; }))
      throw Stop(exit_code::wrong_data, place + " was consumed: deja dlq list shows whether it is a dead letter");
    for (const auto& lane : lanes)
      if (lane.dead_letter_at && *lane.dead_letter_at != offset)
        throw Stop(exit_code::try_again, "offset " + std::to_string(*lane.dead_letter_at) + " of " + name_of(p.name) + " is to become a dead letter first, and is not there yet: one such order at a time");
  };
  check(p.lanes);
  confirm(options.change, {"the record at " + place + " is not run in group " + change.group() + " and becomes a dead letter"});
  change.in_transaction(p, options.change.reason, [&](const std::vector<postgres::LanePosition>& lanes) {
    check(lanes);
    change.moves().dead_letter(change.connection(), p.name, options.lane, offset, options.change.reason);
    return Json{{"topic", p.name.topic}, {"partition", p.name.partition}, {"offset", offset}}.dump();
  });
  // Its owner does it in a batch of its own.
  std::optional<std::int64_t> id;
  taken_up(taken_up_within, [&] {
    id = change.moves().dead_letter_id(change.connection(), p.name, offset);
    return id.has_value();
  });
  output.row({p.name.group, p.name.topic, std::int64_t{p.name.partition}, offset, id ? Cell(*id) : Cell()});
  output.finish();
  if (!id) std::cerr << "not yet: it is done when a program has worked off what is before it in its lane (deja dlq list)\n";
  return exit_code::clean;
}

void add_pause_or_resume(CLI::App& lanes, Context& context, bool pause) {
  auto o = std::make_shared<OrderOptions>();
  auto* command = pause ? lanes.add_subcommand("pause", "Lanes stand still until resumed, over restarts too; what was committed is still published")
                        : lanes.add_subcommand("resume", "Paused lanes go on");
  command->add_option("--topic", o->topic, "The topic")->required();
  command->add_option_function<std::int32_t>("--partition", [o](const std::int32_t& n) { o->partition = n; }, "Only this partition")->type_name("N");
  command->add_option_function<std::int32_t>("--lane", [o](const std::int32_t& n) { o->lane = n; }, "Only this lane of each")->type_name("N");
  add_change_options(*command, o->change);
  add_group_option(*command, context);
  add_output_option(*command, context);
  command->callback([&context, o, pause] { context.run = [&context, o, pause] { return pause_or_resume(context, *o, pause); }; });
}

}  // namespace

void add_lanes_orders(CLI::App& lanes, Context& context) {
  add_pause_or_resume(lanes, context, true);
  add_pause_or_resume(lanes, context, false);
  auto o = std::make_shared<OrderOptions>();
  auto* command = lanes.add_subcommand("dead-letter", "Moves one record out of the way that holds up its lane: it is not run, and becomes a dead letter");
  command->add_option_function<std::int32_t>("--partition", [o](const std::int32_t& n) { o->partition = n; }, "The partition")->required()->type_name("N");
  command->add_option("--topic", o->topic, "The topic")->required();
  command->add_option_function<std::int32_t>("--lane", [o](const std::int32_t& n) { o->lane = n; }, "The lane")->type_name("N");
  command->add_option_function<std::int64_t>("--offset", [o](const std::int64_t& n) { o->offset = n; }, "The record (default: the one that blocked_by in deja lanes names)")
      ->type_name("N")->check(CLI::NonNegativeNumber);
  add_change_options(*command, o->change);
  add_group_option(*command, context);
  add_output_option(*command, context);
  command->callback([&context, o] { context.run = [&context, o] { return dead_letter(context, *o); }; });
}

}  // namespace deja::cli
