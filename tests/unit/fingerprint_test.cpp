#include "core/fingerprint.h"

#include <gtest/gtest.h>

namespace deja::core {
namespace {

TEST(Fingerprint, WhatVariesFromRecordToRecordIsLeftOut) {
  EXPECT_EQ(normalised_error("account 4711 is closed"), "account # is closed");
  EXPECT_EQ(normalised_error("account a-17b/9 is closed (attempt 3)"), "account #/# is closed (attempt #)");
  EXPECT_EQ(normalised_error("no such user \"Ada Lovelace\", nor 'Grace'"), "no such user \"?\", nor '?'");
  EXPECT_EQ(normalised_error("2a7ce5c0-8a1f-4a53-9c5e-000000000000 unknown"), "# unknown");
  EXPECT_EQ(normalised_error("can't connect to the record's host"), "can't connect to the record's host") << "an apostrophe is no quote";
  EXPECT_EQ(normalised_error("an open \"quote"), "an open \"quote");
  EXPECT_EQ(normalised_error(""), "");
  EXPECT_EQ(normalised_error(std::string(10'000, 'x')).size(), 512U);
}

TEST(Fingerprint, OneCauseOneFingerprint) {
  const auto one = failure_fingerprint("std::runtime_error", "handler", "timeout after 100 ms");
  EXPECT_EQ(one.size(), 8U);
  EXPECT_EQ(failure_fingerprint("std::runtime_error", "handler", "timeout after 7 ms"), one);
  EXPECT_NE(failure_fingerprint("std::logic_error", "handler", "timeout after 7 ms"), one);
  EXPECT_NE(failure_fingerprint("std::runtime_error", "commit", "timeout after 7 ms"), one);
  EXPECT_NE(failure_fingerprint("std::runtime_error", "handler", "refused after 7 ms"), one);
}

}  // namespace
}  // namespace deja::core
