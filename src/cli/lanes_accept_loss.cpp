#include <algorithm>
#include <iostream>

#include <nlohmann/json.hpp>

#include "cli/lane_change.h"
#include "cli/lanes.h"

namespace deja::cli {
namespace {

constexpr Field lanes_accept_loss_fields[] = {{"group"}, {"topic"}, {"partition", FieldType::number}, {"lane", FieldType::number}, {"from", FieldType::number}, {"to", FieldType::number},
                            {"cause"}, {"lost_from", FieldType::number}, {"lost_until", FieldType::number}, {"incarnation"}};

struct AcceptLossOptions {
  std::string topic;
  std::int32_t partition = 0;
  std::optional<std::int64_t> to_offset;
  ChangeOptions change;
};

struct Loss {
  std::string cause;
  std::int64_t target = 0;
  bool never_back = false;                 // lanes beyond the target have lost nothing
  bool another_log = true;                 // its offsets are other records than they were
  std::optional<std::int64_t> lost_until;  // absent: how much more the old log had, nobody knows
};

bool stopped_by_loss(const postgres::LanePosition& lane) { return lane.paused_cause && lane.paused_cause->starts_with("log lost"); }

// By what the log holds now, and by what a program saw that compared it with the record it knew.
std::optional<Loss> loss_of(const std::vector<postgres::LanePosition>& lanes, const kafka::LogRange& log) {
  const auto any = [&](auto&& test) { return std::any_of(lanes.begin(), lanes.end(), test); };
  if (any([&](const auto& lane) { return lane.next_offset > log.end; })) return Loss{"the log is shorter", log.start, false, true, {}};
  if (any([&](const auto& lane) { return lane.next_offset < log.start; })) return Loss{"records were removed", log.start, true, false, log.start};
  if (any(stopped_by_loss)) return Loss{"the log is another one", log.start, false, true, {}};
  return std::nullopt;
}

Loss decided(const LaneChange::Partition& p, const std::vector<postgres::LanePosition>& lanes, const AcceptLossOptions& options) {
  auto loss = loss_of(lanes, p.log);
  if (!loss && !options.to_offset) {
    std::string positions;
    for (const auto& lane : lanes) positions += (positions.empty() ? "" : ", ") + std::to_string(lane.next_offset);
    throw Stop(exit_code::wrong_data, name_of(p.name) + " has lost nothing: its lanes go on at " + positions + ", " + in_words(p.log) +
                                          ", and no program has stopped at it. A program takes a second to show that; to move the group: deja lanes reset");
  }
  if (options.to_offset) {
    if (*options.to_offset < p.log.start || *options.to_offset > p.log.end)
      throw Stop(exit_code::wrong_data, "offset " + std::to_string(*options.to_offset) + " is out of range for " + name_of(p.name) + ": " + in_words(p.log));
    if (!loss) loss = Loss{"an operator says so", 0, false, true, {}};
    loss->target = *options.to_offset;
    loss->never_back = false;
    if (loss->lost_until) loss->lost_until = loss->target;
  }
  return *loss;
}

int accept_loss(const Context& context, const AcceptLossOptions& options) {
  check_change(options.change);
  Output output(context.list, lanes_accept_loss_fields);
  LaneChange change(context, "lanes accept-loss", options.topic, options.partition, postgres::Duty::move_lanes);
  const auto& p = change.partitions().front();
  const auto planned = decided(p, p.lanes, options);
  confirm(options.change, {"group " + change.group() + " goes on in " + name_of(p.name) + " at offset " + std::to_string(planned.target) + " (" + planned.cause + ")"});

  Loss loss;
  std::vector<postgres::LanePosition> before;
  std::string incarnation;
  const auto new_offset = [&](const postgres::LanePosition& lane) { return loss.never_back ? std::max(lane.next_offset, loss.target) : loss.target; };
  change.in_transaction(p, options.change.reason, [&](const std::vector<postgres::LanePosition>& lanes) {
    before = lanes;
    loss = decided(p, lanes, options);
    incarnation = change.moves().accept_loss(change.connection(), p.name, loss.target, loss.never_back);
    nlohmann::ordered_json detail = {{"topic", p.name.topic}, {"partition", p.name.partition}, {"cause", loss.cause}, {"another_log", loss.another_log}, {"log_start", p.log.start},
                                     {"log_end", p.log.end}, {"incarnation", incarnation}, {"lanes", nlohmann::ordered_json::array()}};
    for (const auto& lane : lanes) {
      nlohmann::ordered_json each = {{"lane", lane.lane}, {"from", lane.next_offset}, {"to", new_offset(lane)}, {"lost_from", lane.next_offset}, {"lost_until", nullptr},
                                     {"next_event_seq", lane.next_event_seq}};
      if (loss.lost_until) each["lost_until"] = std::max(*loss.lost_until, lane.next_offset);
      detail["lanes"].push_back(each);
    }
    return detail.dump();
  });
  // Nothing is shown before all is changed: a reader that goes away stops nothing midway.
  const auto lowest = std::min_element(before.begin(), before.end(), [&](const auto& a, const auto& b) { return new_offset(a) < new_offset(b); });
  change.move_group({{{p.name.topic, p.name.partition}, new_offset(*lowest)}});
  if (!loss.lost_until) std::cerr << "what the old log held from lost_from on, and nobody had read yet, is lost; Kafka cannot say how much that is\n";
  for (const auto& lane : before)
    output.row({p.name.group, p.name.topic, std::int64_t{p.name.partition}, std::int64_t{lane.lane}, lane.next_offset, new_offset(lane), loss.cause, lane.next_offset,
                loss.lost_until ? Cell(std::max(*loss.lost_until, lane.next_offset)) : Cell(), incarnation});
  output.finish();
  return exit_code::clean;
}

}  // namespace

void add_lanes_accept_loss(CLI::App& lanes, Context& context) {
  auto o = std::make_shared<AcceptLossOptions>();
  auto* command = lanes.add_subcommand("accept-loss", "Lets a partition go on that stopped because its log lost records: removed before they were read, or the log is another one");
  command->footer(footer_of(lanes_accept_loss_fields));
  command->add_option("--topic", o->topic, "The topic")->required();
  command->add_option("--partition", o->partition, "The partition")->required()->type_name("N");
  command->add_option_function<std::int64_t>("--to-offset", [o](const std::int64_t& n) { o->to_offset = n; }, "Where to go on (default: the start of the log)")->type_name("N");
  add_change_options(*command, o->change);
  add_group_option(*command, context);
  add_output_option(*command, context);
  command->callback([&context, o] { context.run = [&context, o] { return accept_loss(context, *o); }; });
}

}  // namespace deja::cli
