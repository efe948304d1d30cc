#include "core/strategy_words.h"

#include <deja/idempotency.h>

#include <gtest/gtest.h>

#include <vector>

// What a handler declares is stored in words; an operator's command must make the same keys of them.

namespace deja::core {
namespace {

const std::vector<Header> headers = {{"Idempotency-Key", "a"}, {"ce_id", "b"}, {"odd, header", "c"}};
const Record record({.topic = "t", .key = "k", .value = "v", .headers = headers});
const Record bare({.topic = "t", .key = "k", .value = "v"});

template <class Strategy>
void same_key(const Strategy& strategy) {
  const auto read = read_strategy(strategy.describe());
  ASSERT_TRUE(read.key) << strategy.describe();
  EXPECT_FALSE(read.key_free);
  EXPECT_EQ(read.key(record), strategy.extract(record)) << strategy.describe();
  EXPECT_EQ(read.key(bare), strategy.extract(bare)) << strategy.describe();
}

TEST(StrategyWords, HeadersAndPayloadsGiveTheKeysOfTheHandler) {
  same_key(by_header("Idempotency-Key"));
  same_key(by_header("odd, header"));
  same_key(by_header("none of that name"));
  same_key(by_payload());
}

TEST(StrategyWords, TheFirstOfSeveralIsTheHandlersFirstToo) {
  same_key(first_of(by_header("ce_id"), by_header("Idempotency-Key")));
  same_key(first_of(by_header("missing"), by_payload()));
  same_key(first_of(by_header("odd, header"), by_payload()));
  same_key(first_of(by_header("missing"), first_of(by_header("ce_id"), by_payload())));
}

TEST(StrategyWords, AnOffsetNeedsNoKey) {
  const auto read = read_strategy(by_offset("projections are replaced").describe());
  EXPECT_TRUE(read.key_free);
  EXPECT_FALSE(read.key);
}

TEST(StrategyWords, AFunctionIsTheProgramsAlone) {
  constexpr auto function = by_key([](const Record& r) { return std::string(r.value()); });
  EXPECT_FALSE(read_strategy(function.describe()).key);
  EXPECT_FALSE(read_strategy(function.describe()).key_free);
  EXPECT_FALSE(read_strategy(first_of(by_header("ce_id"), function).describe()).key) << "where the header is missing the function decides";
  EXPECT_FALSE(read_strategy("words of a later version").key);
}

}  // namespace
}  // namespace deja::core
