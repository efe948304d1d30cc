#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "simulation/simulation.h"

// DEJA_SIMULATION_SEED=N runs the schedule of one seed and prints its trace; DEJA_SIMULATION_SCHEDULES=N runs so many.

namespace deja::simulation {
namespace {

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

std::string told(std::uint64_t seed, const Verdict& verdict, std::size_t most_lines) {
  std::string all = "seed " + std::to_string(seed) + ": " + verdict.violation.value_or("all rules hold") + "\n";
  const auto lines = std::min(most_lines, verdict.trace.size());
  for (auto at = verdict.trace.end() - static_cast<std::ptrdiff_t>(lines); at != verdict.trace.end(); ++at) all += "  " + *at + "\n";
  return all + "again: DEJA_SIMULATION_SEED=" + std::to_string(seed);
}

TEST(Schedules, KeepThePromise) {
  const Decisions real;
  if (const auto seed = number_from("DEJA_SIMULATION_SEED", 0); seed != 0) {
    const auto verdict = run_schedule(seed, real, true);
    std::cout << told(seed, verdict, verdict.trace.size()) << std::endl;
    EXPECT_FALSE(verdict.violation) << *verdict.violation;
    return;
  }
  std::size_t records = 0;
  int failed = 0;
  const auto schedules = number_from("DEJA_SIMULATION_SCHEDULES", 10'000);
  std::uint64_t seed = 1;
  for (; seed <= schedules && failed < 3; ++seed) {
    const auto verdict = run_schedule(seed, real);
    records += verdict.records;
    if (!verdict.violation) continue;
    ++failed;
    ADD_FAILURE() << told(seed, run_schedule(seed, real, true), 60);
  }
  std::cout << seed - 1 << " schedules, " << records << " records" << std::endl;
}

}  // namespace
}  // namespace deja::simulation
