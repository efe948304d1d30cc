#include <algorithm>

#include <nlohmann/json.hpp>

#include "cli/instant.h"
#include "cli/lane_change.h"
#include "cli/lanes.h"
#include "postgres/explain.h"

namespace deja::cli {
namespace {

constexpr Field lanes_reset_fields[] = {{"group"}, {"topic"}, {"partition", FieldType::number}, {"lane", FieldType::number}, {"from", FieldType::number},
                            {"to", FieldType::number}, {"records", FieldType::number}, {"skipped", FieldType::number}, {"rerun", FieldType::number},
                            {"dead_letters", FieldType::number}, {"parked", FieldType::number}};

struct ResetOptions {
  std::string topic;
  std::optional<std::int32_t> partition;
  std::optional<std::int64_t> to_offset, shift_by;
  std::optional<std::string> to_datetime;
  bool to_earliest = false, to_latest = false, dry_run = false, rerun_effects = false;
  ChangeOptions change;
};

/// Where a partition's lanes go, and what that means for its records.
struct Plan {
  std::int64_t target = 0;
  std::int64_t records = 0;  ///< read again
  std::int64_t skipped = 0;  ///< never read
  std::int64_t rerun = 0;    ///< of those read again: handlers run for them, unless their key is known from elsewhere in the log
  std::int64_t dead_letters = 0, parked = 0, known_keys = 0;
};

std::pair<std::int64_t, std::int64_t> lowest_and_highest(const std::vector<postgres::LanePosition>& lanes) {
  const auto [low, high] = std::minmax_element(lanes.begin(), lanes.end(), [](const auto& a, const auto& b) { return a.next_offset < b.next_offset; });
  return {low->next_offset, high->next_offset};
}

class Reset {
 public:
  Reset(const Context& context, const ResetOptions& options)
      : context_(context), options_(options), change_(context, "lanes reset", options.topic, options.partition, options.dry_run ? std::nullopt : std::optional(postgres::Duty::move_lanes)) {}

  int run() {
    if (!options_.dry_run) check_change(options_.change);
    Output output(context_.list, lanes_reset_fields);
    find_targets();
    std::vector<Plan> plans;
    Plan all;
    for (const auto& p : change_.partitions()) {
      plans.push_back(plan(p, p.lanes));
      all.records += plans.back().records;
      all.skipped += plans.back().skipped;
      all.rerun += plans.back().rerun;
    }
    if (!options_.dry_run) {
      if ((key_free().now || key_free().before) && all.rerun > 0 && !options_.rerun_effects)
        throw Stop(exit_code::wrong_data, "the handler of " + options_.topic + (key_free().now ? " identifies" : " identified until lately (keys.previous)") +
                                              " records by their offset alone, so that the effects of " + std::to_string(all.rerun) +
                                              " records would happen again; if that is meant: --rerun-effects");
      const auto touched = all.records + all.skipped;
      confirm(options_.change, {std::to_string(plans.size()) + " partition(s) of " + options_.topic + " are moved for group " + change_.group() + " (" + std::to_string(all.records) +
                                    " records read again, " + std::to_string(all.skipped) + " skipped)",
                                touched, is_running() ? std::max<std::int64_t>(1000, touched / 10) : 0});
    }
    if (!options_.dry_run) {
      move_all(output, plans);
      return exit_code::clean;
    }
    for (std::size_t i = 0; i < plans.size(); ++i) show(output, change_.partitions()[i], change_.partitions()[i].lanes, plans[i]);
    output.finish();
    return exit_code::clean;
  }

 private:
  // All is changed before anything is shown: a reader that goes away stops nothing midway.
  void move_all(Output& output, std::vector<Plan>& plans) {
    std::vector<std::vector<postgres::LanePosition>> before;
    std::vector<std::pair<kafka::Partition, std::int64_t>> moved;
    std::optional<Stop> stopped;
    try {
      for (std::size_t i = 0; i < plans.size(); ++i) {
        const auto& p = change_.partitions()[i];
        before.push_back(move(p, plans[i]));
        moved.push_back({{p.name.topic, p.name.partition}, plans[i].target});
      }
    } catch (const Stop& stop) {
      stopped = stop;  // what was moved is moved
    }
    change_.move_group(moved);
    const auto show_moved = [&] {
      for (std::size_t i = 0; i < before.size(); ++i) show(output, change_.partitions()[i], before[i], plans[i]);
      output.finish();
    };
    if (!stopped) return show_moved();
    try {
      show_moved();
    } catch (const ReaderGone&) {  // the cause is told all the same
    }
    throw *stopped;
  }

  postgres::LaneMoves::KeyFree key_free() {
    if (!key_free_)
      key_free_ = postgres::explained(change_.connection(), [&] { return change_.moves().key_free(change_.connection(), change_.group(), options_.topic); });
    return *key_free_;
  }

  bool is_running() const {
    return std::any_of(change_.partitions().begin(), change_.partitions().end(), [](const auto& p) {
      return std::any_of(p.lanes.begin(), p.lanes.end(), [](const auto& lane) { return lane.owned; });
    });
  }

  void find_targets() {
    if (!options_.to_datetime) return;
    const auto at = parse_instant(*options_.to_datetime);
    if (!at) throw Stop(exit_code::usage, "--to-datetime takes a time such as 2026-11-22T01:00:00Z, not \"" + *options_.to_datetime + "\"");
    kafka::Partitions wanted;
    for (const auto& p : change_.partitions()) wanted.push_back({p.name.topic, p.name.partition});
    try {
      // Kafka counts in milliseconds: round up, nothing before the time is meant
      at_time_ = change_.kafka().offsets_at(wanted, (*at + 999) / 1000);
    } catch (const kafka::Unreachable& error) {
      throw Stop(exit_code::unavailable, std::string("Kafka does not say which offsets are of that time: ") + error.what());
    }
  }

  std::int64_t target_of(const LaneChange::Partition& p, std::int64_t lowest) const {
    if (options_.to_earliest) return p.log.start;
    if (options_.to_latest) return p.log.end;
    if (options_.to_datetime) return at_time_.at({p.name.topic, p.name.partition});
    const auto target = options_.to_offset ? *options_.to_offset : shifted(lowest);
    if (target < p.log.start || target > p.log.end)
      throw Stop(exit_code::wrong_data, "offset " + std::to_string(target) + " is out of range for " + name_of(p.name) + ": " + in_words(p.log) + ", so from " +
                                            std::to_string(p.log.start) + " to " + std::to_string(p.log.end));
    return target;
  }

  std::int64_t shifted(std::int64_t lowest) const {
    std::int64_t target = 0;
    if (__builtin_add_overflow(lowest, *options_.shift_by, &target))
      throw Stop(exit_code::usage, "--shift-by " + std::to_string(*options_.shift_by) + " from offset " + std::to_string(lowest) + " is no offset any more");
    return target;
  }

  Plan plan(const LaneChange::Partition& p, const std::vector<postgres::LanePosition>& lanes) {
    const auto span = lowest_and_highest(lanes);
    Plan plan;
    plan.target = target_of(p, span.first);
    if (plan.target < span.second) {
      const bool with_keys = !key_free().now;
      const auto content = postgres::explained(change_.connection(), [&] { return change_.moves().content(change_.connection(), p.name, plan.target, span.second, with_keys); });
      plan.dead_letters = content.dead_letters;
      plan.parked = content.parked;
      plan.known_keys = content.known_keys;
    }
    count(plan, span.first, span.second);
    return plan;
  }

  static void count(Plan& plan, std::int64_t lowest, std::int64_t highest) {
    plan.records = std::max<std::int64_t>(0, highest - plan.target);
    plan.skipped = std::max<std::int64_t>(0, plan.target - lowest);
    plan.rerun = std::max<std::int64_t>(0, plan.records - plan.dead_letters - plan.parked - plan.known_keys);
  }

  // The numbers stand in the first lane's row: they are the partition's.
  void show(Output& output, const LaneChange::Partition& p, const std::vector<postgres::LanePosition>& lanes, const Plan& plan) {
    for (const auto& lane : lanes) {
      const bool first = &lane == &lanes.front();
      const auto number = [&](std::int64_t n) { return first ? Cell(n) : Cell(); };
      output.row({p.name.group, p.name.topic, std::int64_t{p.name.partition}, std::int64_t{lane.lane}, lane.next_offset, plan.target, number(plan.records),
                  number(plan.skipped), number(plan.rerun), number(plan.dead_letters), number(plan.parked)});
    }
  }

  /// Returns where the lanes were.
  std::vector<postgres::LanePosition> move(const LaneChange::Partition& p, Plan& plan) {
    std::vector<postgres::LanePosition> before;
    change_.in_transaction(p, options_.change.reason, [&](const std::vector<postgres::LanePosition>& lanes) {
      before = lanes;
      const auto [lowest, highest] = lowest_and_highest(lanes);
      change_.moves().reset(change_.connection(), p.name, plan.target, highest);
      // what was committed since the plan was made has its key
      if (!key_free().now) plan.known_keys += std::max<std::int64_t>(0, highest - lowest_and_highest(p.lanes).second);
      count(plan, lowest, highest);
      nlohmann::ordered_json detail = {{"topic", p.name.topic}, {"partition", p.name.partition}, {"to", plan.target}, {"lanes", nlohmann::ordered_json::array()},
                                       {"records", plan.records}, {"skipped", plan.skipped}, {"rerun", plan.rerun}, {"dead_letters", plan.dead_letters}, {"parked", plan.parked}};
      for (const auto& lane : lanes) detail["lanes"].push_back({{"lane", lane.lane}, {"from", lane.next_offset}, {"to", plan.target}});
      return detail.dump();
    });
    return before;
  }

  const Context& context_;
  const ResetOptions& options_;
  LaneChange change_;
  std::optional<postgres::LaneMoves::KeyFree> key_free_;
  std::map<kafka::Partition, std::int64_t> at_time_;
};

void check_usage(const ResetOptions& o) {
  const int targets = (o.to_offset ? 1 : 0) + (o.shift_by ? 1 : 0) + (o.to_datetime ? 1 : 0) + (o.to_earliest ? 1 : 0) + (o.to_latest ? 1 : 0);
  if (targets != 1) throw Stop(exit_code::usage, "one of --to-offset, --to-datetime, --to-earliest, --to-latest and --shift-by says where to");
}

}  // namespace

void add_lanes_reset(CLI::App& lanes, Context& context) {
  auto o = std::make_shared<ResetOptions>();
  auto* command = lanes.add_subcommand("reset", "Moves a group: its lanes go on at another offset, with Kafka's own flag names");
  command->footer(footer_of(lanes_reset_fields));
  command->add_option("--topic", o->topic, "The topic")->required();
  command->add_option_function<std::int32_t>("--partition", [o](const std::int32_t& n) { o->partition = n; }, "One partition (default: all that the group has lanes for)")->type_name("N");
  command->add_option_function<std::int64_t>("--to-offset", [o](const std::int64_t& n) { o->to_offset = n; }, "To this offset")->type_name("N");
  command->add_option_function<std::string>("--to-datetime", [o](const std::string& t) { o->to_datetime = t; }, "To the first record at or after this time (RFC 3339)")->type_name("T");
  command->add_flag("--to-earliest", o->to_earliest, "To the start of the log");
  command->add_flag("--to-latest", o->to_latest, "To the end of the log");
  command->add_option_function<std::int64_t>("--shift-by", [o](const std::int64_t& n) { o->shift_by = n; }, "By so many offsets, back if below 0")->type_name("N");
  command->add_flag("--dry-run", o->dry_run, "Show what would happen, and change nothing");
  command->add_flag("--rerun-effects", o->rerun_effects, "Let a handler without keys (by_offset) repeat the effects of what is read again");
  add_change_options(*command, o->change);
  add_expect_option(*command, o->change);
  add_group_option(*command, context);
  add_output_option(*command, context);
  command->callback([&context, o] {
    context.run = [&context, o] {
      check_usage(*o);
      return Reset(context, *o).run();
    };
  });
}

}  // namespace deja::cli
