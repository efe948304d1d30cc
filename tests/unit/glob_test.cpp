#include <gtest/gtest.h>

#include <string>

#include "core/glob.h"

namespace deja::core {
namespace {

TEST(Glob, AStarStandsForAnyText) {
  for (const auto& [pattern, text] : {std::pair{"*", ""}, {"*", "a"}, {"trace*", "traceparent"}, {"*token*", "X-Auth-Token-2"}, {"a*b*c", "a-bb-cb-c"}, {"a*b", "ab"}, {"cookie", "Cookie"}, {"", ""}, {"**", "x"}})
    EXPECT_TRUE(matches(pattern, text)) << pattern << " " << text;
  for (const auto& [pattern, text] : {std::pair{"", "a"}, {"trace", "traceparent"}, {"*token", "tokens"}, {"a*b", "a"}, {"a*b*c", "a-c-b"}, {"?", "x"}})
    EXPECT_FALSE(matches(pattern, text)) << pattern << " " << text;
}

TEST(Glob, ALongTextIsNoTrap) {
  std::string pattern;
  for (int i = 0; i < 30; ++i) pattern += "*a";
  EXPECT_FALSE(matches(pattern + "b", std::string(5'000, 'a'))) << "it would take years to try all ways";
}

}  // namespace
}  // namespace deja::core
