#include "cli/dlq_choice.h"

#include <set>

namespace deja::cli {
namespace {

std::string unfit(const postgres::DeadLetterRow& d, const std::string& done) {
  const auto id = std::to_string(d.id);
  const auto by = d.action_id ? " by action " + std::to_string(*d.action_id) : std::string();
  if (d.status == "replaying") return "dead letter " + id + " is being replayed" + by + " (deja dlq actions" + (d.action_id ? " " + std::to_string(*d.action_id) : "") + ") and cannot be " + done + " meanwhile; nothing was changed";
  return "dead letter " + id + " is " + d.status + (d.status == "open" ? "" : by) + " and cannot be " + done + "; nothing was changed";
}

}  // namespace

std::vector<std::int64_t> ChosenLetters::ids() const {
  std::vector<std::int64_t> all;
  for (const auto& letter : letters) all.push_back(letter.id);
  return all;
}

std::map<std::int32_t, std::vector<ChosenLetter>> ChosenLetters::by_lane() const {
  std::map<std::int32_t, std::vector<ChosenLetter>> lanes;
  for (const auto& letter : letters) lanes[letter.lane].push_back(letter);
  return lanes;
}

RecordWords letter_words(const char* fitting, const char* all) { return {"dead letters", "Their ids", fitting, all, "deja dlq list"}; }

ChosenLetters choose_letters(postgres::Connection& connection, const std::string& schema, const std::string& group, const RecordChoice& choice, const Filter& filter,
                             const std::string& status, const std::string& done) {
  const bool by_id = !choice.ids.empty();
  std::set<std::int64_t> unknown(choice.ids.begin(), choice.ids.end());
  std::set<std::string> groups;
  ChosenLetters chosen;
  postgres::Admin::DeadLetterQuestion question;
  if (by_id) question.ids = choice.ids;
  else if (!status.empty()) question.status = status;
  postgres::Admin(connection, schema, group).dead_letters(question, [&](const postgres::DeadLetterRow& d) {
    unknown.erase(d.id);
    if (!status.empty() && d.status != status) throw Stop(exit_code::wrong_data, unfit(d, done));
    if (!filter.fits(to_row(d))) return true;
    groups.insert(d.group);
    chosen.letters.push_back({d.id, d.offset, d.partition, d.lane_id, d.topic});
    return true;
  });
  if (!unknown.empty()) throw Stop(exit_code::wrong_data, "there is no dead letter " + std::to_string(*unknown.begin()) + (group.empty() ? "" : " in group " + group) + ": deja dlq list");
  if (chosen.letters.empty()) throw Stop(exit_code::wrong_data, "no " + (status.empty() ? "" : status + " ") + "dead letter fits: deja dlq list --group " + group);
  if (groups.size() > 1) throw Stop(exit_code::usage, "these are dead letters of several groups (" + *groups.begin() + ", " + *groups.rbegin() + "): one command for each");
  chosen.group = *groups.begin();
  return chosen;
}

std::string letters_in_number(std::int64_t n) { return std::to_string(n) + (n == 1 ? " dead letter" : " dead letters"); }

}  // namespace deja::cli
