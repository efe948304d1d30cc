#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/change.h"
#include "cli/context.h"

// Which records a command is about: some by their ids, those that fit a filter, or all.

namespace deja::cli {

template <class Id>
struct RecordChoiceOf {
  std::vector<Id> ids;
  std::string filter;
  bool all = false;
};
using RecordChoice = RecordChoiceOf<std::int64_t>;

/// How a command calls its records.
struct RecordWords {
  const char* which;    ///< "dead letters"
  const char* ids;      ///< help of the ids
  const char* fitting;  ///< "Open dead letters"
  const char* all;      ///< "open dead letters"
  const char* list;     ///< the command that shows them, whose fields --filter has
};

void add_rest_of_choice(CLI::App& command, std::string& filter, bool& all, const RecordWords& words);
template <class Id>
void add_record_choice(CLI::App& command, RecordChoiceOf<Id>& choice, const RecordWords& words) {
  command.add_option("ID", choice.ids, words.ids);
  add_rest_of_choice(command, choice.filter, choice.all, words);
}

/// From how many on a command asks for the number: fewer can be looked through.
inline constexpr std::int64_t many_records = 1'000;

/// What confirm() asks the number for; nothing: ids are a number that was said already, and few need none.
template <class Id>
std::optional<std::int64_t> number_to_confirm(const RecordChoiceOf<Id>& choice, const ChangeOptions& change, std::int64_t records) {
  const bool many = choice.ids.empty() && records > many_records;
  return many || change.expect ? std::optional(records) : std::nullopt;
}

/// Throws Stop (64) unless it is one of the three.
void check_choice(bool by_ids, bool by_filter, bool all, const RecordWords& words);
template <class Id>
void check_choice(const RecordChoiceOf<Id>& choice, const RecordWords& words) {
  check_choice(!choice.ids.empty(), !choice.filter.empty(), choice.all, words);
}

}  // namespace deja::cli
