#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "cli/context.h"

// What every command has in common that changes something: a reason, and somebody who means it.

namespace deja::cli {

struct ChangeOptions {
  std::string reason;
  bool yes = false;
  std::optional<std::int64_t> expect;
};

/// --reason and --yes.
void add_change_options(CLI::App& command, ChangeOptions& options);
/// --expect, for what may touch many records.
void add_expect_option(CLI::App& command, ChangeOptions& options);

/// Before anything is looked at. Throws Stop: 64 without a reason.
void check_change(const ChangeOptions& options);

/// What is about to happen.
struct Change {
  std::string summary;                                ///< "2 partitions of topic payments are moved"
  std::optional<std::int64_t> records = {};           ///< how many it touches, where that is to be confirmed
  std::int64_t may_have_grown = 0;                    ///< so many more than expected are still as expected: the group goes on meanwhile
};

/// Returns when the change is meant. Throws Stop: 64 when an option is missing (or the answer at the terminal is no), 65 when the number is another one.
void confirm(const ChangeOptions& options, const Change& change);

/// For what programs take up by themselves: asks until it is so. False: not within the time.
bool taken_up(std::chrono::milliseconds within, const std::function<bool()>& is_so);

}  // namespace deja::cli
