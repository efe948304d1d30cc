#include <algorithm>
#include <iostream>
#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "cli/change.h"
#include "cli/dlq.h"
#include "cli/lane_transaction.h"
#include "cli/record_choice.h"
#include "postgres/dead_letter_admin.h"
#include "postgres/explain.h"
#include "postgres/migrations.h"

// An operator wants no effect of dead letters, now or when they are sent again.

namespace deja::cli {
namespace {

constexpr Field action_fields[] = {{"action_id", FieldType::number}, {"matched", FieldType::number}, {"accepted", FieldType::number}, {"refused", FieldType::number}};
constexpr std::size_t at_once = 1'000;  // of a lane, whose batches wait meanwhile
constexpr const char* command_name = "dlq discard";

constexpr RecordWords dead_letter_words{"dead letters", "Their ids", "Open dead letters", "open dead letters", "deja dlq list"};

struct DiscardOrder : RecordChoice {
  ChangeOptions change;
};

std::string in_number(std::int64_t n) { return std::to_string(n) + (n == 1 ? " dead letter" : " dead letters"); }

class Discard {
 public:
  Discard(const Context& context, const DiscardOrder& order)
      : order_(order), filter_(filter_of(order.filter, dead_letter_fields())), output_(context.list, action_fields), config_(context.load()), group_(context.group(config_)),
        schema_(config_.text("postgres.schema")) {
    if (order.ids.empty() && group_.empty()) throw Stop(exit_code::usage, "dlq discard: of which group? Give --group GROUP or set group.id");
    connection_ = open_postgres(config_, command_name, false);
    postgres::check_schema(*connection_, schema_);
  }

  int run() {
    choose();
    const bool counted = order_.ids.empty() || order_.change.expect;  // ids are a number that was said already
    confirm(order_.change, {in_number(matched_) + " of group " + group_ + " will take no effect, now or when sent again; what waits behind them runs",
                            counted ? std::optional(matched_) : std::nullopt});
    postgres::DeadLetterAdmin admin(*connection_, schema_);
    const auto action = postgres::explained(*connection_, [&] { return admin.begin_action(group_, "discard", order_.change.reason, matched_); });
    std::optional<Stop> stopped;
    try {
      for (const auto& [lane, letters] : by_lane_)
        for (std::size_t from = 0; from < letters.size(); from += at_once) discard(admin, action, lane, std::span(letters).subspan(from, std::min(at_once, letters.size() - from)));
    } catch (const Stop& stop) {
      if (accepted_ == 0) throw;
      stopped = Stop(stop.exit_code(), std::string(stop.what()) + "; " + in_number(accepted_) + " were discarded before, and " + std::to_string(matched_ - accepted_ - refused_) + " are as they were");
    }
    const auto code = stopped ? stopped->exit_code() : refused_ > 0 ? exit_code::finding : exit_code::clean;
    try {
      output_.row({action, matched_, accepted_, refused_});
      output_.finish();
    } catch (const ReaderGone&) {  // what went wrong is told all the same
      if (code == exit_code::clean) throw;
    }
    if (stopped) throw *stopped;
    if (refused_ > 0) std::cerr << in_number(refused_) << " had another fate before this order came: deja dlq list has their status\n";
    return code;
  }

 private:
  struct Letter {
    std::int64_t id = 0, offset = 0;
    std::string topic;
    std::int64_t partition = 0;
  };

  void choose() {
    std::set<std::int64_t> unknown(order_.ids.begin(), order_.ids.end());
    std::set<std::string> groups;
    postgres::Admin::DeadLetterQuestion question{.open = order_.ids.empty()};
    if (!order_.ids.empty()) question.ids = order_.ids;
    postgres::Admin(*connection_, schema_, group_).dead_letters(question, [&](const postgres::DeadLetterRow& d) {
      unknown.erase(d.id);
      if (d.status != "open")
        throw Stop(exit_code::wrong_data, "dead letter " + std::to_string(d.id) + " is " + d.status + " and cannot be discarded; nothing was changed");
      if (!filter_.fits(to_row(d))) return true;
      groups.insert(d.group);
      by_lane_[d.lane_id].push_back({d.id, d.offset, d.topic, d.partition});
      ++matched_;
      return true;
    });
    if (!unknown.empty())
      throw Stop(exit_code::wrong_data, "there is no dead letter " + std::to_string(*unknown.begin()) + (group_.empty() ? "" : " in group " + group_) + ": deja dlq list");
    if (matched_ == 0) throw Stop(exit_code::wrong_data, "no open dead letter fits: deja dlq list --group " + group_);
    if (groups.size() > 1) throw Stop(exit_code::usage, "these are dead letters of several groups (" + *groups.begin() + ", " + *groups.rbegin() + "): one command for each");
    group_ = *groups.begin();
  }

  void discard(postgres::DeadLetterAdmin& admin, std::int64_t action, std::int32_t lane, std::span<const Letter> letters) {
    std::vector<std::int64_t> ids, discarded;
    for (const auto& letter : letters) ids.push_back(letter.id);
    const auto& first = letters.front();
    in_lane_transaction(*connection_, schema_, {command_name, group_, order_.change.reason, {}}, first.topic + "/" + std::to_string(first.partition) + " (from dead letter " + std::to_string(first.id) + " on)", [&]() -> std::optional<std::string> {
      discarded = admin.discard(lane, ids, action);
      if (discarded.empty()) return std::nullopt;
      const std::set<std::int64_t> done(discarded.begin(), discarded.end());
      nlohmann::ordered_json detail = {{"action_id", action}, {"topic", first.topic}, {"partition", first.partition}, {"records", nlohmann::ordered_json::array()}};
      for (const auto& letter : letters)
        if (done.contains(letter.id)) detail["records"].push_back({{"id", letter.id}, {"offset", letter.offset}});
      return detail.dump();
    });
    accepted_ += static_cast<std::int64_t>(discarded.size());
    refused_ += static_cast<std::int64_t>(letters.size() - discarded.size());
  }

  const DiscardOrder& order_;
  const Filter filter_;
  Output output_;
  const config::Config config_;
  std::string group_;
  const std::string schema_;
  std::unique_ptr<postgres::Connection> connection_;
  std::map<std::int32_t, std::vector<Letter>> by_lane_;
  std::int64_t matched_ = 0, accepted_ = 0, refused_ = 0;
};

void check_usage(const DiscardOrder& o) {
  check_change(o.change);
  check_choice(o, dead_letter_words);
}

}  // namespace

void add_dlq_discard(CLI::App& dlq, Context& context) {
  auto o = std::make_shared<DiscardOrder>();
  auto* command = dlq.add_subcommand("discard", "Open dead letters take no effect, now or when they are sent again; with dlq.order = hold, what waits behind them runs");
  add_record_choice(*command, *o, dead_letter_words);
  add_change_options(*command, o->change);
  add_expect_option(*command, o->change);
  add_group_option(*command, context);
  add_output_option(*command, context);
  command->callback([&context, o] {
    context.run = [&context, o] {
      check_usage(*o);
      return Discard(context, *o).run();
    };
  });
}

}  // namespace deja::cli
