#include "audit/key_reader.h"

#include <gtest/gtest.h>

// How the audit makes a record's keys, from what the database has of both recipes.

namespace deja::audit {
namespace {

using Key = core::RecordFacts::Key;

struct TheRecord {
  core::SourceRecord source;
  std::vector<Header> headers;
  explicit TheRecord(std::vector<Header> all) : headers(std::move(all)) {
    source.view.topic = "t";
    source.view.value = "v";
    source.view.headers = headers;
  }
};

const std::string none = core::secret_id("");
const core::KeyRecipe by_x{"h", "now", "header X", "none", none}, by_y{"h", "before", "header Y", "none", core::secret_id("old")},
    by_function{"h", "before", "key function", "none", none}, by_nothing{"h", "before", "offset: progress alone", "none", none};

KeyReader::Read read(const KeySources& sources, std::vector<Header> headers) {
  const TheRecord record(std::move(headers));
  return KeyReader(sources).read(record.source);
}

TEST(AuditKeys, WhileARecipeChangesARecordHasItsKeyByEither) {
  const auto sources = key_sources({by_x, by_y}, {"", "old"});
  const auto x = core::KeyMaker("now", "h", "").key(std::nullopt, "1"), y = core::KeyMaker("before", "h", "old").key(std::nullopt, "2");
  const auto both = read(sources, {{"X", "1"}, {"Y", "2"}});
  ASSERT_EQ(both.count, 2U);
  EXPECT_EQ(both.keys[0], x);
  EXPECT_EQ(both.keys[1], y);
  const auto before = read(sources, {{"Y", "2"}});
  ASSERT_EQ(before.count, 1U);
  EXPECT_EQ(before.state, Key::known);
  EXPECT_EQ(before.keys[0], y);
  EXPECT_EQ(read(sources, {}).state, Key::unreadable);
}

TEST(AuditKeys, KeysThatAreTheSameByBothRecipesAreOne) { EXPECT_EQ(read(key_sources({by_x, by_x}, {""}), {{"X", "1"}}).count, 1U); }

TEST(AuditKeys, WithoutTheSecretOfARecipeItsKeysAreNotKnown) {
  const auto sources = key_sources({by_x, by_y}, {""});
  EXPECT_FALSE(sources.all_keys());
  EXPECT_NE(sources.remedy().find("keys.previous.secret"), std::string::npos) << sources.remedy();
  EXPECT_EQ(read(sources, {{"Y", "2"}}).state, Key::unknown);
  EXPECT_EQ(read(sources, {{"X", "1"}}).count, 1U);
}

TEST(AuditKeys, ARecipeBeforeThatOnlyTheProgramKnowsComesFromItsPreviousIdempotency) {
  EXPECT_FALSE(key_sources({by_x, by_function}, {""}).all_keys());
  detail::HandlerSpec handler;
  handler.name = "h";
  handler.strategy = "header X";
  handler.key = [](const Record& record) { return std::optional<std::string>(*record.header("X")); };
  EXPECT_FALSE(key_sources({by_x, by_function}, {""}, handler).all_keys());
  handler.previous_strategy = "key function";
  handler.previous_key = [](const Record&) { return std::optional<std::string>("raw"); };
  const auto sources = key_sources({by_x, by_function}, {""}, handler);
  EXPECT_TRUE(sources.all_keys());
  EXPECT_EQ(read(sources, {{"X", "1"}}).keys[1], core::KeyMaker("before", "h", "").key(std::nullopt, "raw"));
}

TEST(AuditKeys, EffectsOfARecipeBeforeWithoutKeysCannotBeProved) {
  const auto sources = key_sources({by_x, by_nothing}, {""});
  EXPECT_FALSE(sources.all_keys());
  EXPECT_EQ(read(sources, {}).state, Key::unknown);
  EXPECT_NE(sources.remedy().find("--from"), std::string::npos);
}

}  // namespace
}  // namespace deja::audit
