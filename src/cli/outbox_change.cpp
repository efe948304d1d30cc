#include <algorithm>
#include <iostream>
#include <map>
#include <set>
#include <span>

#include <nlohmann/json.hpp>

#include "cli/change.h"
#include "cli/lane_transaction.h"
#include "cli/outbox.h"
#include "cli/record_choice.h"
#include "core/uuid.h"

// What an operator may want of events that were set aside: another try now, or none any more.

namespace deja::cli {
namespace {

using postgres::StuckListing;

constexpr Field outbox_change_fields[] = {{"event_id"}, {"group"}, {"topic"}, {"partition", FieldType::number}, {"lane", FieldType::number}, {"seq", FieldType::number},
                                          {"event_topic"}, {"outcome"}};
constexpr std::size_t events_at_once = 1'000;  // of a lane, whose batches wait meanwhile
constexpr RecordWords stuck_words{"events", "The events' ids", "Events that were set aside and", "events that were set aside", "deja outbox list"};

struct EventOrder : RecordChoiceOf<std::string> {
  bool retry = false;
  std::string topic;
  ChangeOptions change;
};

std::string events_in_number(std::size_t n) { return std::to_string(n) + (n == 1 ? " event" : " events"); }

class OutboxChange {
 public:
  OutboxChange(const Context& context, const EventOrder& order)
      : command_(order.retry ? "outbox retry" : "outbox discard"), order_(order), filter_(filter_of(order.filter, stuck_fields())), output_(context.list, outbox_change_fields),
        config_(context.load()), group_(context.group(config_)), schema_(config_.text("postgres.schema")) {
    if (order.ids.empty() && group_.empty()) throw Stop(exit_code::usage, command_ + ": of which group? Give --group GROUP or set group.id");
    connection_ = open_for_change(config_, command_);
    store_.emplace(*connection_, schema_, group_);
  }

  int run() {
    choose();
    confirm(order_.change, {events_in_number(chosen_.size()) + (group_.empty() ? "" : " of group " + group_) + (order_.retry ? " are tried again at once, with what is behind them" : " are never published"),
                            number_to_confirm(order_, order_.change, static_cast<std::int64_t>(chosen_.size()))});
    std::optional<Stop> stopped;
    try {
      for (const auto& [lane, events] : by_lane())
        for (std::span<const StuckListing* const> left = events; !left.empty();) {  // the last ones first: what comes first of a key lets the others go
          const auto last = left.last(std::min(events_at_once, left.size()));
          change(lane, last);
          left = left.first(left.size() - last.size());
        }
    } catch (const Stop& stop) {
      if (changed_ == 0) throw;
      stopped = stop;  // what was changed is changed
    }
    if (changed_ == 0) throw Stop(exit_code::wrong_data, "none of these is set aside any more, and nothing was changed: deja outbox list");
    output_.finish();
    if (stopped) throw *stopped;
    if (gone_ > 0) std::cerr << events_in_number(gone_) << " reached Kafka or were discarded before this order came\n";
    return gone_ > 0 ? exit_code::finding : exit_code::clean;
  }

 private:
  void choose() {
    postgres::StuckAdmin::Question question{.topic = order_.topic};
    if (!order_.ids.empty()) question.ids = order_.ids;
    std::set<std::string> unknown;
    for (const auto& id : order_.ids) unknown.insert(core::to_text(core::parse_uuid(id).value()));
    store_->list(question, [&](const StuckListing& e) {
      if (e.state == "discarded" || !filter_.fits(to_row(e))) return true;
      unknown.erase(e.event_id);
      chosen_.push_back(e);
      return true;
    });
    if (!unknown.empty()) throw Stop(exit_code::wrong_data, "event " + *unknown.begin() + " is not set aside" + (group_.empty() ? "" : " in group " + group_) + ": deja outbox list");
    if (chosen_.empty()) throw Stop(exit_code::wrong_data, "no event that was set aside fits: deja outbox list --group " + group_);
  }

  std::map<std::int32_t, std::vector<const StuckListing*>> by_lane() const {
    std::map<std::int32_t, std::vector<const StuckListing*>> lanes;
    for (const auto& e : chosen_) lanes[e.lane_id].push_back(&e);
    return lanes;
  }

  void change(std::int32_t lane, std::span<const StuckListing* const> events) {
    const auto& first = *events.front();
    std::vector<std::int64_t> numbers, changed;
    for (const auto* e : events) numbers.push_back(e->seq);
    const auto done = [&](const StuckListing& e) { return std::binary_search(changed.begin(), changed.end(), e.seq); };
    in_lane_transaction(*connection_, schema_, {command_, first.group, order_.change.reason, {}}, first.topic + "/" + std::to_string(first.partition) + " lane " + std::to_string(first.lane),
                        [&]() -> std::optional<std::string> {
      store_->lock(lane);
      changed = order_.retry ? store_->retry(lane, numbers) : store_->discard(lane, numbers);
      if (changed.empty()) return std::nullopt;
      std::sort(changed.begin(), changed.end());
      nlohmann::ordered_json detail = {{"topic", first.topic}, {"partition", first.partition}, {"lane", first.lane}, {"changed", changed.size()}, {"events", nlohmann::ordered_json::array()}};
      for (const auto* e : events)
        if (done(*e)) detail["events"].push_back({{"event_id", e->event_id}, {"seq", e->seq}, {"event_topic", e->event_topic}});
      return detail.dump();
    });
    for (const auto* e : events) {
      output_.row({e->event_id, e->group, e->topic, e->partition, e->lane, e->seq, e->event_topic, std::string(done(*e) ? order_.retry ? "due" : "discarded" : "gone")});
      done(*e) ? ++changed_ : ++gone_;
    }
  }

  const std::string command_;
  const EventOrder& order_;
  const Filter filter_;
  Output output_;
  const config::Config config_;
  const std::string group_, schema_;
  std::unique_ptr<postgres::Connection> connection_;
  std::optional<postgres::StuckAdmin> store_;
  std::vector<StuckListing> chosen_;
  std::size_t changed_ = 0, gone_ = 0;
};

void check_usage(const EventOrder& o) {
  check_change(o.change);
  check_choice(o, stuck_words);
  for (const auto& id : o.ids)
    if (!core::parse_uuid(id)) throw Stop(exit_code::usage, id + " is no event id: deja outbox list shows them");
}

void add_outbox_change(CLI::App& outbox, Context& context, bool retry) {
  auto o = std::make_shared<EventOrder>();
  o->retry = retry;
  auto* command = retry ? outbox.add_subcommand("retry", "Events that were set aside are tried again at once, in order with all of their topic and key")
                        : outbox.add_subcommand("discard", "Events that were set aside are never published; what was behind them is tried");
  add_record_choice(*command, *o, stuck_words);
  command->add_option("--topic", o->topic, "Only events of records of this topic");
  add_change_options(*command, o->change);
  add_expect_option(*command, o->change);
  add_group_option(*command, context);
  add_output_option(*command, context);
  command->callback([&context, o] {
    context.run = [&context, o] {
      check_usage(*o);
      return OutboxChange(context, *o).run();
    };
  });
}

}  // namespace

void add_outbox_changes(CLI::App& outbox, Context& context) {
  for (const bool retry : {true, false}) add_outbox_change(outbox, context, retry);
}

}  // namespace deja::cli
