#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "cli/dlq.h"
#include "cli/record_choice.h"

// Which dead letters a command is about, as the database has them when it is asked.

namespace deja::cli {

struct ChosenLetter {
  std::int64_t id = 0, offset = 0, partition = 0;
  std::int32_t lane = 0;  ///< of the lane's row
  std::string topic;
};

struct ChosenLetters {
  std::string group;  ///< the one that all of them are of
  std::vector<ChosenLetter> letters;

  std::int64_t count() const { return static_cast<std::int64_t>(letters.size()); }
  std::vector<std::int64_t> ids() const;
  std::map<std::int32_t, std::vector<ChosenLetter>> by_lane() const;
};

/// How the command calls them.
RecordWords letter_words(const char* fitting, const char* all);

/// Throws Stop: 65 for an id that is not there, one that has another status than `status` (empty: any will do; "cannot be `done`"), or when nothing fits; 64
/// for those of several groups. `group` empty: whatever group the ids are of.
ChosenLetters choose_letters(postgres::Connection& connection, const std::string& schema, const std::string& group, const RecordChoice& choice, const Filter& filter,
                             const std::string& status, const std::string& done);

/// "3 dead letters"
std::string letters_in_number(std::int64_t n);

}  // namespace deja::cli
