#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/change.h"
#include "cli/context.h"

// Which records a command is about: some by their ids, those that fit a filter, or all.

namespace deja::cli {

struct RecordChoice {
  std::vector<std::int64_t> ids;
  std::string filter;
  bool all = false;
};

/// How a command calls its records.
struct RecordWords {
  const char* which;    ///< "dead letters"
  const char* ids;      ///< help of the ids
  const char* fitting;  ///< "Open dead letters"
  const char* all;      ///< "open dead letters"
  const char* list;     ///< the command that shows them, whose fields --filter has
};

void add_record_choice(CLI::App& command, RecordChoice& choice, const RecordWords& words);
/// From how many on a command asks for the number: fewer can be looked through.
inline constexpr std::int64_t many_records = 1'000;

/// What confirm() asks the number for; nothing: ids are a number that was said already, and few need none.
std::optional<std::int64_t> number_to_confirm(const RecordChoice& choice, const ChangeOptions& change, std::int64_t records);

/// Throws Stop (64) unless it is one of the three.
void check_choice(const RecordChoice& choice, const RecordWords& words);

}  // namespace deja::cli
