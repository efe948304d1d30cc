#include <algorithm>
#include <iostream>
#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "cli/change.h"
#include "cli/lane_transaction.h"
#include "cli/parked.h"
#include "cli/record_choice.h"
#include "postgres/explain.h"

// What an operator may want of parked records: another attempt now, or none any more. Their lane's owner does it.

namespace deja::cli {
namespace {

using postgres::ParkedListing;

constexpr Field parked_change_fields[] = {{"id", FieldType::number}, {"group"}, {"handler"}, {"topic"}, {"partition", FieldType::number}, {"lane", FieldType::number},
                                          {"offset", FieldType::number}, {"outcome"}, {"dlq_id", FieldType::number}};
constexpr std::chrono::seconds done_within{15};

enum class Wish { retry, dead_letter, discard };

struct WishWords {
  const char *name, *help, *happens;
};
WishWords words_of(Wish wish) {
  switch (wish) {
    case Wish::retry: return {"retry", "Parked records are tried again at once, not when their delay is over", " are tried again at once"};
    case Wish::dead_letter: return {"dead-letter", "Parked records are not run any more and become dead letters", " are not run any more and become dead letters"};
    default: return {"discard", "Parked records are not run any more and count as done: whoever sends them again sends duplicates", " are not run any more and take no effect, now or when they are sent again"};
  }
}

constexpr RecordWords parked_words{"records", "The records' ids", "Records", "parked records", "deja parked list"};

struct ParkedOrder : RecordChoice {
  std::string topic;
  ChangeOptions change;
};

std::string place_of(const ParkedListing& p) { return p.topic + "/" + std::to_string(p.partition) + " offset " + std::to_string(p.offset); }

std::string in_number(std::size_t n) { return std::to_string(n) + (n == 1 ? " parked record" : " parked records"); }

class ParkedChange {
 public:
  ParkedChange(const Context& context, Wish wish, const ParkedOrder& order)
      : wish_(wish), words_(words_of(wish)), command_(std::string("parked ") + words_.name), order_(order), filter_(filter_of(order.filter, parked_fields())),
        output_(context.list, parked_change_fields), config_(context.load()), group_(context.group(config_)), schema_(config_.text("postgres.schema")) {
    if (order.ids.empty() && group_.empty()) throw Stop(exit_code::usage, command_ + ": of which group? Give --group GROUP or set group.id");
    connection_ = open_for_change(config_, command_);
    store_.emplace(*connection_, schema_, group_);
  }

  int run() {
    choose();
    confirm(order_.change, {in_number(chosen_.size()) + (group_.empty() ? "" : " of group " + group_) + words_.happens,
                            number_to_confirm(order_, order_.change, static_cast<std::int64_t>(chosen_.size()))});
    std::optional<Stop> stopped;
    try {
      for (const auto& [lane, records] : by_lane()) change(lane, records);
    } catch (const Stop& stop) {
      if (changed_.empty()) throw;
      stopped = stop;  // what was changed is changed
    }
    if (changed_.empty()) throw Stop(exit_code::wrong_data, "none of these is parked any more, and nothing was changed: deja parked list");
    if (wish_ != Wish::retry) await();
    show();
    if (stopped) throw *stopped;
    return tell();
  }

 private:
  struct Outcome {
    const char* what;
    std::optional<std::int64_t> letter;
  };

  void choose() {
    postgres::ParkedAdmin::Question question{.topic = order_.topic};
    if (!order_.ids.empty()) question.ids = order_.ids;
    std::optional<ParkedListing> waits;
    std::set<std::int64_t> unknown(order_.ids.begin(), order_.ids.end());
    store_->list(question, [&](const ParkedListing& p) {
      unknown.erase(p.id);
      if (!filter_.fits(to_row(p))) return true;
      if (wish_ == Wish::retry && !p.next_at) {
        ++waiting_;
        if (!waits) waits = p;
      } else {
        chosen_.push_back(p);
      }
      return true;
    });
    if (!unknown.empty())
      throw Stop(exit_code::wrong_data, "there is no parked record " + std::to_string(*unknown.begin()) + (group_.empty() ? "" : " in group " + group_) + ": deja parked list");
    // those behind follow by themselves, where not they alone are meant
    if (waits && (chosen_.empty() || !order_.ids.empty())) throw Stop(exit_code::wrong_data, refusal(*waits));
    if (chosen_.empty()) throw Stop(exit_code::wrong_data, "no parked record fits: deja parked list --group " + group_);
  }

  static std::string refusal(const ParkedListing& p) {
    if (p.held_by)
      return "parked record " + std::to_string(p.id) + " (" + place_of(p) + ") waits behind dead letter " + std::to_string(*p.held_by) + " (offset " + std::to_string(*p.behind) +
             ", dlq.order = hold) and runs when that one is discarded: deja dlq discard " + std::to_string(*p.held_by);
    const auto head = p.behind ? "offset " + std::to_string(*p.behind) : std::string("an earlier record");
    return "parked record " + std::to_string(p.id) + " (" + place_of(p) + ") waits behind " + head + " of its ordering key and runs when that one is done: retry that one, or move it out of the way";
  }

  std::map<std::int32_t, std::vector<const ParkedListing*>> by_lane() const {
    std::map<std::int32_t, std::vector<const ParkedListing*>> lanes;
    for (const auto& p : chosen_) lanes[p.lane_id].push_back(&p);
    return lanes;
  }

  void change(std::int32_t lane, const std::vector<const ParkedListing*>& records) {
    const auto& first = *records.front();
    const auto place = first.topic + "/" + std::to_string(first.partition) + " lane " + std::to_string(first.lane);
    std::vector<std::int64_t> ids, changed;
    for (const auto* p : records) ids.push_back(p->id);
    in_lane_transaction(*connection_, schema_, {command_, first.group, order_.change.reason, {}}, place, [&]() -> std::optional<std::string> {
      store_->lock(lane);
      changed = wish_ == Wish::retry ? store_->retry(lane, ids) : store_->want(lane, ids, words_.name, order_.change.reason);
      if (changed.empty()) return std::nullopt;
      std::sort(changed.begin(), changed.end());
      nlohmann::ordered_json detail = {{"topic", first.topic}, {"partition", first.partition}, {"lane", first.lane}, {"records", nlohmann::ordered_json::array()}};
      for (const auto* p : records)
        if (std::binary_search(changed.begin(), changed.end(), p->id)) detail["records"].push_back({{"id", p->id}, {"offset", p->offset}});
      return detail.dump();
    });
    const char* now = wish_ == Wish::retry ? "due" : "wanted";
    for (const auto* p : records) outcomes_[p->id] = {std::binary_search(changed.begin(), changed.end(), p->id) ? now : "gone", std::nullopt};
    if (!changed.empty()) changed_[lane] = records;
  }

  void await() {
    taken_up(done_within, [&] {
      bool all = true;
      for (const auto& [lane, records] : changed_) all = done(lane, records) && all;
      return all;
    });
  }

  bool done(std::int32_t lane, const std::vector<const ParkedListing*>& records) {
    const auto fates = postgres::explained(*connection_, [&] { return store_->fates(lane, records); });
    bool all = true;
    for (std::size_t i = 0; i < records.size(); ++i) {
      const auto& fate = fates[i];
      all = all && !fate.parked;
      outcomes_[records[i]->id] = {fate.parked ? "wanted" : fate.discarded ? "discarded" : fate.letter ? "dead" : "gone", fate.parked ? std::nullopt : fate.letter};
    }
    return all;
  }

  void show() {
    for (const auto& p : chosen_) {
      const auto found = outcomes_.find(p.id);
      if (found != outcomes_.end())
        output_.row({p.id, p.group, p.handler, p.topic, p.partition, p.lane, p.offset, std::string(found->second.what), cell_of(found->second.letter)});
    }
    output_.finish();
  }

  int tell() const {
    std::size_t gone = 0, wanted = 0;
    for (const auto& [id, outcome] : outcomes_) {
      gone += std::string_view(outcome.what) == "gone" ? 1U : 0U;
      wanted += std::string_view(outcome.what) == "wanted" ? 1U : 0U;
    }
    if (waiting_ > 0) std::cerr << waiting_ << " more wait behind records of their ordering keys, and run when those are done\n";
    if (wanted > 0) std::cerr << "not yet: " << in_number(wanted) << " will be, when a program works the lane (deja parked list shows what is wanted)\n";
    if (gone > 0) std::cerr << in_number(gone) << " had another outcome before this order came: deja audit-log has what was ordered, deja key and deja dlq list what became of them\n";
    return gone > 0 ? exit_code::finding : exit_code::clean;
  }

  const Wish wish_;
  const WishWords words_;
  const std::string command_;
  const ParkedOrder& order_;
  const Filter filter_;
  Output output_;
  const config::Config config_;
  const std::string group_, schema_;
  std::unique_ptr<postgres::Connection> connection_;
  std::optional<postgres::ParkedAdmin> store_;
  std::vector<ParkedListing> chosen_;
  std::size_t waiting_ = 0;  // of those meant, behind another one
  std::map<std::int32_t, std::vector<const ParkedListing*>> changed_;  // by lane
  std::map<std::int64_t, Outcome> outcomes_;
};

void check_usage(const ParkedOrder& o) {
  check_change(o.change);
  check_choice(o, parked_words);
}

void add_change(CLI::App& parked, Context& context, Wish wish) {
  const auto words = words_of(wish);
  auto o = std::make_shared<ParkedOrder>();
  auto* command = parked.add_subcommand(words.name, words.help);
  add_record_choice(*command, *o, parked_words);
  command->add_option("--topic", o->topic, "Only this topic");
  add_change_options(*command, o->change);
  add_expect_option(*command, o->change);
  add_group_option(*command, context);
  add_output_option(*command, context);
  command->callback([&context, wish, o] {
    context.run = [&context, wish, o] {
      check_usage(*o);
      return ParkedChange(context, wish, *o).run();
    };
  });
}

}  // namespace

void add_parked_changes(CLI::App& parked, Context& context) {
  for (const auto wish : {Wish::retry, Wish::dead_letter, Wish::discard}) add_change(parked, context, wish);
}

}  // namespace deja::cli
