#include <cmath>
#include <iostream>
#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "cli/change.h"
#include "cli/dlq_choice.h"
#include "cli/dlq_progress.h"
#include "postgres/audit_log_store.h"
#include "postgres/explain.h"
#include "postgres/migrations.h"
#include "postgres/replay_admin.h"
#include "postgres/transaction_control.h"

// Dead letters run again: what would become of each is told first; the group's programs do it, through their parked records.

namespace deja::cli {
namespace {

using core::Forecast;

constexpr Field replay_fields[] = {{"action_id", FieldType::number}, {"matched", FieldType::number}, {"accepted", FieldType::number}, {"refused", FieldType::number},
                                   {"would_run", FieldType::number}, {"waiting", FieldType::number}, {"already_processed", FieldType::number}, {"conflict", FieldType::number},
                                   {"expired", FieldType::number}, {"not_registered", FieldType::number}, {"too_many_replays", FieldType::number}, {"build_unchanged", FieldType::number},
                                   {"state"}, {"done", FieldType::number}, {"failed", FieldType::number}, {"differed", FieldType::number}};
constexpr Field forecast_fields[] = {{"id", FieldType::number}, {"topic"}, {"partition", FieldType::number}, {"offset", FieldType::number}, {"forecast"}, {"accepted", FieldType::flag}, {"build_unchanged", FieldType::flag}};

const auto replay_words = letter_words("Open dead letters", "open dead letters");

struct ReplayOptions : RecordChoice {
  const char* command = "dlq replay";
  ChangeOptions change;
  postgres::ReplayOrder order;
  std::optional<std::int64_t> max_replays;
  bool dry_run = false, records = false, wait = false, allow_expired = false;
};

class Replay {
 public:
  Replay(const Context& context, const ReplayOptions& options)
      : options_(options), filter_(filter_of(options.filter, dead_letter_fields())), output_(context.list, options.records ? std::span<const Field>(forecast_fields) : replay_fields), config_(context.load()),
        schema_(config_.text("postgres.schema")) {
    const auto group = context.group(config_);
    if (options.ids.empty() && group.empty()) throw Stop(exit_code::usage, std::string(options.command) + ": of which group? Give --group GROUP or set group.id");
    connection_ = options.dry_run ? open_postgres(config_, options.command) : open_for_change(config_, options.command);
    postgres::check_schema(*connection_, schema_);
    chosen_ = choose_letters(*connection_, schema_, group, options, filter_, "open", "replayed");
    admin_.emplace(*connection_, schema_);
    const auto& to = options.order.redirect_to;
    if (to && !postgres::explained(*connection_, [&] { return admin_->knows(chosen_.group, *to); }))
      throw Stop(exit_code::wrong_data, "no program of group " + chosen_.group + " has a handler " + *to + ": deja handlers");
    foretell();
  }

  int run() {
    if (options_.dry_run) return show_forecast();
    if (accepted_.empty()) throw Stop(exit_code::wrong_data, "none of these can be replayed (" + refusals() + "); nothing was changed");
    confirm(options_.change, {letters_in_number(static_cast<std::int64_t>(accepted_.size())) + " of group " + chosen_.group + " will run again" + (options_.order.redirect_to ? ", by handler " + *options_.order.redirect_to : "") + (refused() > 0 ? "; refused: " + refusals() : ""),
                              number_to_confirm(options_, options_.change, chosen_.count())});
    const auto begun = begin();
    if (begun.accepted.empty()) throw Stop(exit_code::wrong_data, "somebody else was faster, none of these is open any more: deja dlq list; nothing was changed");
    late_ = static_cast<std::int64_t>(accepted_.size() - begun.accepted.size());
    if (!options_.wait) {
      show(begun.action, std::nullopt);
      std::cerr << "the programs of group " << chosen_.group << " run them: deja dlq actions " << begun.action << "\n";
      return tell();
    }
    const auto ended = await_replay(*connection_, *admin_, begun.action);
    show(begun.action, ended);
    if (ended.state != "done") std::cerr << "the replay is " << ended.state << (ended.state_cause ? ": " + *ended.state_cause : "") << "\n";
    if (ended.differed > 0) std::cerr << letters_in_number(ended.differed) << " ended other than foretold, the world changed meanwhile: deja dlq actions " << begun.action << " --records\n";
    if (ended.failed > 0) std::cerr << letters_in_number(ended.failed) << " failed again: deja dlq actions " << begun.action << " --records --filter 'state=failed'\n";
    const auto code = tell();
    return ended.state == "done" && ended.failed == 0 ? code : exit_code::finding;
  }

 private:
  void foretell() {
    const auto foretold = postgres::explained(*connection_, [&] { return admin_->foretell(chosen_.ids(), config_.duration("dedup.window.ms"), options_.order.redirect_to); });
    for (const auto& letter : foretold) {
      forecasts_.emplace(letter.id, letter);
      ++counts_[letter.forecast];
      if (letter.same_build) ++same_build_;
      const bool allowed = letter.forecast == Forecast::expired && options_.allow_expired;
      if (options_.max_replays && letter.replays >= *options_.max_replays) ++worn_;
      else if (!core::is_futile(letter.forecast) || allowed) accepted_.push_back(letter);
    }
  }

  std::int64_t refused() const { return chosen_.count() - static_cast<std::int64_t>(accepted_.size()); }

  std::string refusals() const {
    std::string text;
    const auto add = [&](std::int64_t n, const std::string& why) {
      if (n > 0) text += (text.empty() ? "" : ", ") + std::to_string(n) + " " + why;
    };
    const auto of = [&](Forecast f) { return counts_.contains(f) ? counts_.at(f) : 0; };
    add(of(Forecast::conflict), "whose key has another payload's effect (deja dlq discard)");
    if (!options_.allow_expired) add(of(Forecast::expired), "older than dedup.window.ms, so that their keys may be forgotten (--allow-expired)");
    add(of(Forecast::not_registered), options_.order.redirect_to ? "whose topic is not worked by a program that has handler " + *options_.order.redirect_to + ", too (deja handlers)"
                                                                 : "that no program works any more: its handler (deja handlers), or its lane, since a topic has fewer (send its record again, then discard it)");
    add(worn_, "replayed " + std::to_string(options_.max_replays.value_or(0)) + " times before (--max-replays)");
    return text;
  }

  postgres::ReplayAdmin::Begun begin() {
    const postgres::AuditLogStore audit(schema_);
    return postgres::explained(*connection_, [&] {
      postgres::ReplayAdmin::Begun begun;
      postgres::in_transaction(*connection_, [&] {
        begun = admin_->begin(chosen_.group, options_.change.reason, chosen_.count(), accepted_, options_.order);
        if (begun.accepted.empty()) return false;
        nlohmann::ordered_json detail = {{"action_id", begun.action}, {"matched", chosen_.count()}, {"accepted", begun.accepted.size()}};
        if (!options_.filter.empty()) detail["filter"] = options_.filter;
        if (options_.order.redirect_to) detail["handler"] = *options_.order.redirect_to;
        if (options_.order.rate) detail["rate"] = *options_.order.rate;
        if (options_.allow_expired) detail["allow_expired"] = true;
        if (begun.accepted.size() <= static_cast<std::size_t>(many_records)) detail["dead_letters"] = begun.accepted;  // the action has all of them
        audit.append(*connection_, {options_.command, chosen_.group, options_.change.reason, detail.dump()});
        return true;
      });
      return begun;
    });
  }

  int show_forecast() {
    if (options_.records) {
      const std::set<std::int64_t> accepted = ids_of(accepted_);
      for (const auto& letter : chosen_.letters) {
        const auto& f = forecasts_.at(letter.id);
        if (!output_.row({letter.id, letter.topic, letter.partition, letter.offset, std::string(core::word(f.forecast)), accepted.contains(letter.id), f.same_build})) break;
      }
      output_.finish();
    } else {
      show(std::nullopt, std::nullopt);
    }
    return tell();
  }

  static std::set<std::int64_t> ids_of(const std::vector<postgres::ForetoldLetter>& letters) {
    std::set<std::int64_t> ids;
    for (const auto& letter : letters) ids.insert(letter.id);
    return ids;
  }

  void show(std::optional<std::int64_t> action, const std::optional<postgres::ActionRow>& ended) {
    const auto of = [&](Forecast f) { return Cell(counts_.contains(f) ? counts_.at(f) : std::int64_t{0}); };
    const auto after = [&](auto member) { return ended ? Cell((*ended).*member) : Cell(); };
    const auto accepted = static_cast<std::int64_t>(accepted_.size()) - late_;
    output_.row({cell_of(action), chosen_.count(), accepted, chosen_.count() - accepted, of(Forecast::would_run), of(Forecast::waiting), of(Forecast::already_processed),
                 of(Forecast::conflict), of(Forecast::expired), of(Forecast::not_registered), worn_, same_build_, after(&postgres::ActionRow::state), after(&postgres::ActionRow::done),
                 after(&postgres::ActionRow::failed), after(&postgres::ActionRow::differed)});
    output_.finish();
  }

  int tell() const {
    if (same_build_ > 0) std::cerr << letters_in_number(same_build_) << " failed in the build that runs now: without another cause they will fail again\n";
    if (refused() > 0) std::cerr << "refused: " << refusals() << "\n";
    if (late_ > 0) std::cerr << letters_in_number(late_) << " had another fate before this order came: deja dlq list has their status\n";
    return refused() + late_ > 0 ? exit_code::finding : exit_code::clean;
  }

  const ReplayOptions& options_;
  const Filter filter_;
  Output output_;
  const config::Config config_;
  const std::string schema_;
  std::unique_ptr<postgres::Connection> connection_;
  ChosenLetters chosen_;
  std::optional<postgres::ReplayAdmin> admin_;
  std::map<std::int64_t, postgres::ForetoldLetter> forecasts_;
  std::map<Forecast, std::int64_t> counts_;
  std::vector<postgres::ForetoldLetter> accepted_;
  std::int64_t same_build_ = 0, worn_ = 0, late_ = 0;
};

void check_replay(const ReplayOptions& o) {
  check_choice(o, replay_words);
  if (!o.dry_run) check_change(o.change);
  if (o.records && !o.dry_run) throw Stop(exit_code::usage, "--records goes with --dry-run; what became of each afterwards: deja dlq actions ID --records");
  if (o.dry_run && o.wait) throw Stop(exit_code::usage, "--dry-run changes nothing, so that there is nothing to --wait for");
  if (o.order.rate && !(*o.order.rate > 0 && *o.order.rate <= 1e6)) throw Stop(exit_code::usage, "--rate: records a second, above 0 and at most 1000000");
  if (o.order.canary && *o.order.canary < 1) throw Stop(exit_code::usage, "--canary: how many run first, from 1 on");
  if (o.order.stop_ratio && !(*o.order.stop_ratio >= 0 && *o.order.stop_ratio <= 1)) throw Stop(exit_code::usage, "--stop-ratio: the share that may fail, from 0 to 1");
  if (o.max_replays && *o.max_replays < 1) throw Stop(exit_code::usage, "--max-replays: how often a dead letter may be replayed, from 1 on");
}

}  // namespace

namespace {
void add_replaying(CLI::App& dlq, Context& context, bool redirect) {
  auto o = std::make_shared<ReplayOptions>();
  auto* command = redirect ? dlq.add_subcommand("redirect", "Open dead letters run as in a replay, but by another handler of the group: the same keys, lanes and order")
                           : dlq.add_subcommand("replay", "Open dead letters run again in their lanes, under their keys and in their order");
  if (redirect) {
    o->command = "dlq redirect";
    command->add_option("--to", o->order.redirect_to, "The handler (deja handlers); the program that works their topic has to have it")->type_name("HANDLER")->required();
  }
  add_record_choice(*command, *o, replay_words);
  command->add_flag("--dry-run", o->dry_run, "Tell what would become of them, and change nothing");
  command->add_flag("--records", o->records, "With --dry-run: a row for each dead letter");
  command->add_option("--canary", o->order.canary, "So many first; the rest only if none of them fails (or not more than --stop-ratio)")->type_name("N");
  command->add_option("--rate", o->order.rate, "Records a second (default: as the retry budget allows)")->type_name("R");
  command->add_option("--stop-ratio", o->order.stop_ratio, "Stop when more than this share of those that ended failed, looked at from 10 on")->type_name("X");
  command->add_option("--max-replays", o->max_replays, "Refuse those that were replayed so often before")->type_name("N");
  command->add_flag("--allow-expired", o->allow_expired, "Also those older than dedup.window.ms, whose keys may be forgotten: --reason says why that does no harm");
  command->add_flag("--wait", o->wait, "Show how it goes, until it has ended; it goes on without you");
  add_change_options(*command, o->change);
  add_expect_option(*command, o->change);
  add_group_option(*command, context);
  add_output_option(*command, context);
  command->callback([&context, o] {
    context.run = [&context, o] {
      check_replay(*o);
      return Replay(context, *o).run();
    };
  });
}
}  // namespace

void add_dlq_replay(CLI::App& dlq, Context& context) {
  for (const bool redirect : {false, true}) add_replaying(dlq, context, redirect);
}

}  // namespace deja::cli
