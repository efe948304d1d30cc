#include "core/keys.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <tuple>

namespace deja::core {
namespace {

using Parts = std::tuple<std::string, std::string, std::optional<std::string>, std::string>;

Uuid key_of(const Parts& p, const std::string& secret = {}) {
  const auto& [scope, handler, tenant, raw] = p;
  return KeyMaker(scope, handler, secret).key(tenant ? std::optional<std::string_view>(*tenant) : std::nullopt, raw);
}

RC_GTEST_PROP(Keys, ComposingAKeyIsInjective, (const std::string& a, const std::string& b, const std::string& c, const std::string& d, unsigned cut)) {
  const Parts one{a, b, c, d};
  // The same bytes with a boundary moved: the framing must tell them apart.
  const auto at = b.empty() ? 0 : cut % b.size();
  const Parts moved{a + b.substr(0, at), b.substr(at), c, d};
  RC_ASSERT((key_of(one) == key_of(moved)) == (one == moved));
  const Parts without_tenant{a, b, std::nullopt, c + d};
  RC_ASSERT(key_of(one) != key_of(without_tenant));
}

TEST(Keys, AnAbsentTenantIsNotAnEmptyOne) { EXPECT_NE(key_of({"s", "h", std::nullopt, "k"}), key_of({"s", "h", "", "k"})); }

TEST(Keys, ASecretChangesEveryKeyAndTheSameSecretGivesTheSame) {
  const Parts p{"s", "h", std::nullopt, "k"};
  EXPECT_NE(key_of(p), key_of(p, "secret"));
  EXPECT_EQ(key_of(p, "secret"), key_of(p, "secret"));
  EXPECT_NE(key_of(p, "secret"), key_of(p, "secrets"));
}

TEST(Keys, OneMakerGivesTheSameKeyEachTime) {
  KeyMaker maker("s", "h", "secret");
  const auto first = maker.key(std::nullopt, "k");
  maker.key("tenant", "other");
  EXPECT_EQ(maker.key(std::nullopt, "k"), first);
}

TEST(Keys, ASecretsIdTellsNothingButDifference) {
  EXPECT_EQ(secret_id(""), "none");
  EXPECT_EQ(secret_id("a"), secret_id("a"));
  EXPECT_NE(secret_id("a"), secret_id("b"));
  EXPECT_EQ(secret_id("hunter2").find("hunter2"), std::string::npos);
}

TEST(Keys, ADifferenceOfRecipesNamesBothSides) {
  const KeyRecipe stored{"settle", "pay", "header A", "none", "none"};
  auto declared = stored;
  EXPECT_EQ(difference(stored, declared), "");
  declared.strategy = "payload";
  const auto sentence = difference(stored, declared);
  EXPECT_NE(sentence.find("header A"), std::string::npos);
  EXPECT_NE(sentence.find("payload"), std::string::npos);
}

// D3
TEST(EventIds, AreTheSameHoweverOftenTheRecordRuns) {
  FramedHash hash;
  const auto key = key_of({"s", "h", std::nullopt, "k"});
  EXPECT_EQ(event_id(hash, "s", key, 0), event_id(hash, "s", key, 0));
  EXPECT_NE(event_id(hash, "s", key, 0), event_id(hash, "s", key, 1));
}

TEST(EventIds, OfDeadLettersDependOnTheReplayAndNeverMeetAHandlersOwn) {
  FramedHash hash;
  EXPECT_NE(dead_letter_event_id(hash, "s", "t", 0, 1, 0), dead_letter_event_id(hash, "s", "t", 0, 1, 1));
  EXPECT_NE(dead_letter_event_id(hash, "s", "t", 0, 1, 0), event_id(hash, "s", "t", 0, Uuid{}, 1, 0));
}

TEST(EventIds, ByOffsetChangeWithTheIncarnationOfTheLog) {
  FramedHash hash;
  Uuid other;
  other.bytes[0] = 1;
  EXPECT_NE(event_id(hash, "s", "t", 0, Uuid{}, 1, 0), event_id(hash, "s", "t", 0, other, 1, 0));
}

TEST(Digests, TellAnAbsentPayloadFromAnEmptyOne) {
  FramedHash hash;
  EXPECT_NE(payload_digest(hash, std::nullopt), payload_digest(hash, ""));
}

}  // namespace
}  // namespace deja::core
