#include "cli/change.h"

#include <iostream>
#include <thread>

#include <unistd.h>

namespace deja::cli {
namespace {

bool at_a_terminal() { return ::isatty(STDIN_FILENO) == 1 && ::isatty(STDERR_FILENO) == 1; }

std::string answer_to(const std::string& question) {
  std::cerr << question << " " << std::flush;
  std::string line;
  std::getline(std::cin, line);
  return line;
}

void check_number(std::int64_t expected, const Change& change) {
  const auto grown = *change.records - expected;
  if (grown == 0 || (grown > 0 && grown <= change.may_have_grown)) return;
  throw Stop(exit_code::wrong_data, change.summary + ": that touches " + std::to_string(*change.records) + " records, not " + std::to_string(expected) + ": nothing was changed");
}

}  // namespace

void add_change_options(CLI::App& command, ChangeOptions& options) {
  command.add_option("--reason", options.reason, "Why, for the audit log")->type_name("TEXT");
  command.add_flag("--yes", options.yes, "Do not ask; needed where there is no terminal to ask at");
}

void add_expect_option(CLI::App& command, ChangeOptions& options) {
  command.add_option_function<std::int64_t>("--expect", [&options](const std::int64_t& n) { options.expect = n; },
                                            "How many records you expect it to touch; another number changes nothing")
      ->type_name("N");
}

void check_change(const ChangeOptions& options) {
  if (options.reason.empty()) throw Stop(exit_code::usage, "--reason TEXT is needed: it is kept in the audit log");
}

void confirm(const ChangeOptions& options, const Change& change) {
  const bool number_matters = change.records.value_or(0) > 0;
  if (change.records && options.expect) check_number(*options.expect, change);
  if (options.yes) {
    if (number_matters && !options.expect)
      throw Stop(exit_code::usage, change.summary + ": that touches " + std::to_string(*change.records) + " records; say so with --expect " + std::to_string(*change.records));
    return;
  }
  if (!at_a_terminal()) throw Stop(exit_code::usage, change.summary + ": --yes is needed where there is no terminal to ask at");
  if (number_matters && !options.expect) {
    const auto typed = answer_to(change.summary + ". How many records does that touch (" + std::to_string(*change.records) + ")?");
    if (typed != std::to_string(*change.records)) throw Stop(exit_code::usage, "not confirmed: nothing was changed");
  } else if (const auto typed = answer_to(change.summary + ". Go on (yes)?"); typed != "yes") {
    throw Stop(exit_code::usage, "not confirmed: nothing was changed");
  }
}

bool taken_up(std::chrono::milliseconds within, const std::function<bool()>& is_so) {
  const auto until = std::chrono::steady_clock::now() + within;
  while (!is_so()) {
    if (std::chrono::steady_clock::now() >= until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return true;
}

}  // namespace deja::cli
