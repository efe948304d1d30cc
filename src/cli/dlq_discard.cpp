#include <algorithm>
#include <iostream>
#include <set>

#include <nlohmann/json.hpp>

#include "cli/change.h"
#include "cli/dlq_choice.h"
#include "cli/lane_transaction.h"
#include "postgres/dead_letter_admin.h"
#include "postgres/explain.h"

// An operator wants no effect of dead letters, now or when they are sent again; or takes that back.

namespace deja::cli {
namespace {

constexpr Field settled_fields[] = {{"action_id", FieldType::number}, {"matched", FieldType::number}, {"accepted", FieldType::number}, {"refused", FieldType::number}};
constexpr std::size_t at_once = 1'000;  // of a lane, whose batches wait meanwhile

struct SettleWords {
  const char *name, *help, *status, *done, *happens;
  RecordWords records;
};

const SettleWords discard_words = {"discard", "Open dead letters take no effect, now or when they are sent again; with dlq.order = hold, what waits behind them runs", "open", "discarded",
                             " will take no effect, now or when sent again; what waits behind them runs", letter_words("Open dead letters", "open dead letters")};
const SettleWords restore_words = {"restore", "Discarded dead letters are open again: they can be replayed, and their keys are free", "discarded", "restored",
                             " will be open again, and their keys free", letter_words("Discarded dead letters", "discarded dead letters")};

struct SettleOrder : RecordChoice {
  ChangeOptions change;
};

class Settle {
 public:
  Settle(const Context& context, const SettleWords& words, const SettleOrder& order)
      : words_(words), command_(std::string("dlq ") + words.name), order_(order), filter_(filter_of(order.filter, dead_letter_fields())), output_(context.list, settled_fields),
        config_(context.load()), schema_(config_.text("postgres.schema")) {
    const auto group = context.group(config_);
    if (order.ids.empty() && group.empty()) throw Stop(exit_code::usage, command_ + ": of which group? Give --group GROUP or set group.id");
    connection_ = open_for_change(config_, command_);
    chosen_ = choose_letters(*connection_, schema_, group, order, filter_, words.status, words.done);
  }

  int run() {
    const auto matched = chosen_.count();
    confirm(order_.change, {letters_in_number(matched) + " of group " + chosen_.group + words_.happens, number_to_confirm(order_, order_.change, matched)});
    postgres::DeadLetterAdmin admin(*connection_, schema_);
    const auto action = postgres::explained(*connection_, [&] { return admin.begin_action(chosen_.group, words_.name, order_.change.reason, matched); });
    std::optional<Stop> stopped;
    try {
      for (const auto& [lane, letters] : chosen_.by_lane())
        for (std::size_t from = 0; from < letters.size(); from += at_once) settle(admin, action, lane, std::span(letters).subspan(from, std::min(at_once, letters.size() - from)));
      postgres::explained(*connection_, [&] { admin.end_action(action, refused_); });
    } catch (const Stop& stop) {
      admin.stop_action(action, refused_, stop.what());
      if (accepted_ == 0) throw;
      stopped = Stop(stop.exit_code(), std::string(stop.what()) + "; " + letters_in_number(accepted_) + " were " + words_.done + " before, and " + std::to_string(matched - accepted_ - refused_) + " are as they were");
    }
    const auto code = stopped ? stopped->exit_code() : refused_ > 0 ? exit_code::finding : exit_code::clean;
    try {
      output_.row({action, matched, accepted_, refused_});
      output_.finish();
    } catch (const ReaderGone&) {  // what went wrong is told all the same
      if (code == exit_code::clean) throw;
    }
    if (stopped) throw *stopped;
    if (refused_ > 0) std::cerr << letters_in_number(refused_) << " had another fate before this order came: deja dlq list has their status\n";
    return code;
  }

 private:
  void settle(postgres::DeadLetterAdmin& admin, std::int64_t action, std::int32_t lane, std::span<const ChosenLetter> letters) {
    std::vector<std::int64_t> ids, changed;
    for (const auto& letter : letters) ids.push_back(letter.id);
    const auto& first = letters.front();
    in_lane_transaction(*connection_, schema_, {command_, chosen_.group, order_.change.reason, {}}, first.topic + "/" + std::to_string(first.partition) + " (from dead letter " + std::to_string(first.id) + " on)", [&]() -> std::optional<std::string> {
      changed = &words_ == &discard_words ? admin.discard(lane, ids, action) : admin.restore(lane, ids, action);
      if (changed.empty()) return std::nullopt;
      const std::set<std::int64_t> done(changed.begin(), changed.end());
      nlohmann::ordered_json detail = {{"action_id", action}, {"topic", first.topic}, {"partition", first.partition}, {"records", nlohmann::ordered_json::array()}};
      for (const auto& letter : letters)
        if (done.contains(letter.id)) detail["records"].push_back({{"id", letter.id}, {"offset", letter.offset}});
      return detail.dump();
    });
    accepted_ += static_cast<std::int64_t>(changed.size());
    refused_ += static_cast<std::int64_t>(letters.size() - changed.size());
  }

  const SettleWords& words_;
  const std::string command_;
  const SettleOrder& order_;
  const Filter filter_;
  Output output_;
  const config::Config config_;
  const std::string schema_;
  std::unique_ptr<postgres::Connection> connection_;
  ChosenLetters chosen_;
  std::int64_t accepted_ = 0, refused_ = 0;
};

void add_settling(CLI::App& dlq, Context& context, const SettleWords& words) {
  auto o = std::make_shared<SettleOrder>();
  auto* command = dlq.add_subcommand(words.name, words.help);
  add_record_choice(*command, *o, words.records);
  add_change_options(*command, o->change);
  add_expect_option(*command, o->change);
  add_group_option(*command, context);
  add_output_option(*command, context);
  command->callback([&context, &words, o] {
    context.run = [&context, &words, o] {
      check_change(o->change);
      check_choice(*o, words.records);
      return Settle(context, words, *o).run();
    };
  });
}

}  // namespace

void add_dlq_discard(CLI::App& dlq, Context& context) {
  add_settling(dlq, context, discard_words);
  add_settling(dlq, context, restore_words);
}

}  // namespace deja::cli
