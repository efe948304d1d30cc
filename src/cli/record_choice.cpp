#include "cli/record_choice.h"

namespace deja::cli {

void add_rest_of_choice(CLI::App& command, std::string& filter, bool& all, const RecordWords& words) {
  command.footer(std::string("Fields of --filter: those of ") + words.list);
  command.add_option("--filter", filter, std::string(words.fitting) + " that fit: = != < <= > >= ~ (contains), and, or, parentheses")->type_name("EXPR");
  command.add_flag("--all", all, std::string("All ") + words.all + " of the group");
}

void check_choice(bool by_ids, bool by_filter, bool all, const RecordWords& words) {
  if (int{by_ids} + int{by_filter} + int{all} != 1)
    throw Stop(exit_code::usage, std::string("which ") + words.which + ": their ids (" + words.list + "), --filter EXPR or --all, one of the three");
}

}  // namespace deja::cli
