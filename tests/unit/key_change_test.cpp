#include "core/key_change.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <vector>

#include <deja/errors.h>

#include "runtime/key_source.h"

// K1: which programs may start while the recipe of keys changes. Time is counted in windows here: whatever a program claimed before the
// window is forgotten.

namespace deja::core {
namespace {

using Store = RecipeDecision::Store;

KeyRecipe recipe(const std::string& scope) { return {"settle", scope, "header Idempotency-Key", "none", "none"}; }
const KeyRecipe a = recipe("a"), b = recipe("b"), c = recipe("c");

TEST(KeyChange, K1_AnotherRecipeIsRefusedAndBothAreNamed) {
  const auto decision = decide({{a}}, {b});
  EXPECT_NE(decision.refusal.find("dedup.scope was \"a\" and is now \"b\""), std::string::npos) << decision.refusal;
  EXPECT_NE(decision.refusal.find("keys.previous"), std::string::npos) << decision.refusal;
}

TEST(KeyChange, K1_AnotherRecipeWithTheStoredOneAsPreviousIsStored) { EXPECT_EQ(decide({{a}}, {b, a}).store, Store::declared); }

TEST(KeyChange, K1_APreviousRecipeThatIsNotTheStoredOneIsRefusedAndBothAreNamed) {
  const auto decision = decide({{a}}, {b, c});
  EXPECT_NE(decision.refusal.find("dedup.scope is stored as \"a\" and keys.previous makes it \"c\""), std::string::npos) << decision.refusal;
}

TEST(KeyChange, K1_AProgramOfThePreviousRecipeStillStartsSoThatARollbackWorks) {
  EXPECT_EQ(decide({{b, a}}, {a}).store, Store::previous_in_use);
  EXPECT_EQ(decide({{b, a}}, {a, b}).store, Store::previous_in_use);
}

TEST(KeyChange, K1_PreviousIsTakenOutOnlyAfterTheWindow) {
  const auto early = decide({{b, a}, false, "2026-12-01T00:00:00Z"}, {b});
  EXPECT_NE(early.refusal.find("2026-12-01T00:00:00Z"), std::string::npos) << early.refusal;
  EXPECT_EQ(decide({{b, a}, true}, {b}).store, Store::without_previous);
  EXPECT_NE(decide({{b}}, {a}).refusal, "") << "then the change cannot be rolled back any more";
}

TEST(KeyChange, K1_ASecondChangeWaitsForTheFirst) {
  EXPECT_NE(decide({{b, a}, false, "later"}, {c, b}).refusal, "");
  EXPECT_EQ(decide({{b, a}, true}, {c, b}).store, Store::declared);
  EXPECT_EQ(decide({{b, a}}, {c, a}).store, Store::declared) << "so far every key was made by a too";
}

// The decision holds what it is for: whatever programs start, stop and run in whatever order, no record that had its effect within
// the window is new to a program that runs.
RC_GTEST_PROP(KeyChange, K1_NoProgramThatMayStartMissesAKey, ()) {
  const std::vector<KeyRecipe> all{a, b, c};
  struct Claimed {
    std::vector<KeyRecipe> keys;
    int at;
  };
  constexpr int window = 5;
  std::optional<StoredRecipes> stored;
  int previous_used_at = 0;
  std::vector<KeyRecipes> running;
  std::vector<Claimed> effects;
  const int steps = *rc::gen::inRange(1, 60);
  for (int now = 0; now < steps; ++now) {
    const auto pick = [&] { return all[static_cast<std::size_t>(*rc::gen::inRange(0, 3))]; };
    for (const auto& r : running)  // as a running program does every few seconds
      if (stored && r.now != stored->recipes.now) previous_used_at = now;
    const int what = *rc::gen::inRange(0, 4);
    if (what == 0 && !running.empty()) {
      running.erase(running.begin() + *rc::gen::inRange(0, static_cast<int>(running.size())));
    } else if (what == 1 && !running.empty()) {  // every record that had its effect within the window comes again
      const auto& r = running[static_cast<std::size_t>(*rc::gen::inRange(0, static_cast<int>(running.size())))];
      std::vector<KeyRecipe> keys{r.now};
      if (r.previous) keys.push_back(*r.previous);
      for (const auto& effect : effects) {
        if (effect.at + window <= now) continue;
        bool known = false;
        for (const auto& key : keys) known = known || std::find(effect.keys.begin(), effect.keys.end(), key) != effect.keys.end();
        RC_ASSERT(known);
      }
      effects.push_back({keys, now});
    } else {
      KeyRecipes declared{pick()};
      if (const auto previous = pick(); previous != declared.now) declared.previous = previous;
      if (!stored) stored = StoredRecipes{declared}, previous_used_at = now;
      stored->previous_expired = previous_used_at + window <= now;
      const auto decision = decide(*stored, declared);
      if (!decision.refusal.empty()) continue;
      if (decision.store == Store::declared) stored->recipes = declared, previous_used_at = now;
      if (decision.store == Store::without_previous) stored->recipes.previous.reset();
      if (decision.store == Store::previous_in_use) previous_used_at = now;
      running.push_back(declared);
    }
  }
}

}  // namespace
}  // namespace deja::core

namespace deja::runtime {
namespace {

detail::HandlerSpec handler(const std::string& name) {
  detail::HandlerSpec spec;
  spec.name = name;
  spec.strategy = "header k";
  return spec;
}

TEST(KeySource, K1_ThereIsAPreviousOnlyWhereSomethingChanged) {
  const auto spec = handler("settle");
  KeySettings settings{"scope", "secret", "", {}};
  EXPECT_FALSE(key_sources(spec, settings).previous);
  settings.previous.scope = "scope";
  EXPECT_FALSE(key_sources(spec, settings).previous);
  settings.previous.scope = "before";
  EXPECT_EQ(key_sources(spec, settings).recipes().previous->scope, "before");
}

TEST(KeySource, K1_NoneSaysThatThereWasNoSecretAndNoTenant) {
  const auto spec = handler("settle");
  const auto previous = key_sources(spec, {"scope", "secret", "X-Tenant", {"", "none", "none", {}}}).recipes().previous.value();
  EXPECT_EQ(previous.secret_id, "none");
  EXPECT_EQ(previous.tenancy, "none");
}

TEST(KeySource, K1_ARenamedHandlerIsNamedAndItsNeighboursAreNot) {
  const KeySettings settings{"scope", "", "", {"", "", "", {"settle=settle-payment"}}};
  const auto settle = handler("settle"), count = handler("count");
  EXPECT_EQ(key_sources(settle, settings).recipes().previous->handler, "settle-payment");
  EXPECT_FALSE(key_sources(count, settings).previous);
  EXPECT_NO_THROW(check_previous_handlers({settle, count}, settings));
  EXPECT_THROW(check_previous_handlers({count}, settings), Stop);
  EXPECT_THROW(check_previous_handlers({settle, count}, {"s", "", "", {"", "", "", {"before"}}}), Stop) << "of which one?";
  EXPECT_THROW(check_previous_handlers({settle}, {"s", "", "", {"", "", "", {"settle="}}}), Stop);
}

}  // namespace
}  // namespace deja::runtime
