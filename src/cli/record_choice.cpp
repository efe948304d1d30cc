#include "cli/record_choice.h"

namespace deja::cli {

void add_record_choice(CLI::App& command, RecordChoice& choice, const RecordWords& words) {
  command.footer(std::string("Fields of --filter: those of ") + words.list);
  command.add_option("ID", choice.ids, words.ids);
  command.add_option("--filter", choice.filter, std::string(words.fitting) + " that fit: = != < <= > >= ~ (contains), and, or, parentheses")->type_name("EXPR");
  command.add_flag("--all", choice.all, std::string("All ") + words.all + " of the group");
}

std::optional<std::int64_t> number_to_confirm(const RecordChoice& choice, const ChangeOptions& change, std::int64_t records) {
  const bool many = choice.ids.empty() && records > many_records;
  return many || change.expect ? std::optional(records) : std::nullopt;
}

void check_choice(const RecordChoice& choice, const RecordWords& words) {
  if ((choice.ids.empty() ? 0 : 1) + (choice.filter.empty() ? 0 : 1) + (choice.all ? 1 : 0) != 1)
    throw Stop(exit_code::usage, std::string("which ") + words.which + ": their ids (" + words.list + "), --filter EXPR or --all, one of the three");
}

}  // namespace deja::cli
