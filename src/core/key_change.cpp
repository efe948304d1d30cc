#include "core/key_change.h"

namespace deja::core {
namespace {

using Store = RecipeDecision::Store;

RecipeDecision refuse(std::string why) { return {Store::nothing, std::move(why)}; }

RecipeDecision not_the_stored_one(const KeyRecipe& stored, const KeyRecipe& declared) {
  return refuse("keys.previous does not name the recipe that is stored: " + difference(stored, declared, "is stored as", "keys.previous makes it") +
                "; correct keys.previous.* (and previous_idempotency in the handler)");
}

// Keys that only the previous recipe made are not seen by the others.
RecipeDecision too_early(const StoredRecipes& stored, const KeyRecipe& now) {
  return refuse("keys.previous is needed until " + stored.previous_until + ": " + difference(*stored.recipes.previous, now) +
                ", and within dedup.window.ms programs made keys without the recipe of now; put keys.previous back until then");
}

RecipeDecision start_of_the_current(const StoredRecipes& stored, const KeyRecipes& declared) {
  if (!stored.recipes.previous || declared.previous == stored.recipes.previous) return {};
  if (stored.previous_expired) return {Store::without_previous};
  return declared.previous ? not_the_stored_one(*stored.recipes.previous, *declared.previous) : too_early(stored, declared.now);
}

RecipeDecision start_of_another(const StoredRecipes& stored, const KeyRecipes& declared) {
  const auto& now = stored.recipes.now;
  const auto& previous = stored.recipes.previous;
  if (!declared.previous)
    return refuse(difference(now, declared.now) +
                  "; every known key would be forgotten. Change it back, or name the recipe before in keys.previous.* (a strategy: with "
                  "previous_idempotency in the handler), so that both count for a time");
  if (previous && *declared.previous == *previous) return {Store::declared};  // every key so far was made by that one too
  if (*declared.previous != now) return not_the_stored_one(now, *declared.previous);
  if (previous && !stored.previous_expired) return too_early(stored, declared.now);
  return {Store::declared};
}

}  // namespace

RecipeDecision decide(const StoredRecipes& stored, const KeyRecipes& declared) {
  if (declared.now == stored.recipes.now) return start_of_the_current(stored, declared);
  if (declared.now == stored.recipes.previous && (!declared.previous || *declared.previous == stored.recipes.now)) return {Store::previous_in_use};
  return start_of_another(stored, declared);
}

}  // namespace deja::core
