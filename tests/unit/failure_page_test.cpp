#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "core/redelivery.h"

namespace deja::core {
namespace {

std::string_view in_words(Action action) {
  switch (action) {
    case Action::dead: return "a dead letter at once";
    case Action::attempt: return "tried again, dead when no attempt is left";
    case Action::pause: return "the lane waits, nothing is spent";
    case Action::again: return "the batch runs again, nothing is spent";
    case Action::stop: return "the program stops and names it";
  }
  return "";
}

std::string table_of_the_page() {
  std::string table = "| what went wrong | what deja does | cause |\n|---|---|---|\n";
  for (const auto& row : trouble_table()) {
    const auto cause = row.cause.empty() ? std::string(" ") : " `" + std::string(row.cause) + "` ";
    table += "| " + std::string(row.what) + " | " + std::string(in_words(row.action)) + " |" + cause + "|\n";
  }
  return table + "\n";
}

TEST(FailurePage, HasEachTroubleInTheTablesOwnWords) {
  std::ifstream file(DEJA_SOURCE_DIR "/docs/when-a-handler-fails.md");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  EXPECT_TRUE(page.find(table_of_the_page()) != std::string::npos)
      << "the table in docs/when-a-handler-fails.md is not that of src/core/redelivery.cpp; it has to be\n" << table_of_the_page();
}

}  // namespace
}  // namespace deja::core
