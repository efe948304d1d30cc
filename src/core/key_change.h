#pragma once

#include <optional>
#include <string>

#include "core/keys.h"

// Changing the recipe of keys without forgetting one (K1). As long as two recipes are in use, the keys of one of them are claimed by
// everybody; what is decided here keeps that so.

namespace deja::core {

/// The recipe in use, and the one before it while keys.previous is set.
struct KeyRecipes {
  KeyRecipe now;
  std::optional<KeyRecipe> previous = {};
};

struct StoredRecipes {
  KeyRecipes recipes;
  bool previous_expired = false;  ///< for a whole window nobody has made keys without the recipe in use
  std::string previous_until = {};   ///< when that will be, in words
};

struct RecipeDecision {
  enum class Store {
    nothing,
    declared,           ///< the declared recipes are the ones that count from now on
    without_previous,   ///< the change is over
    previous_in_use,    ///< somebody makes keys without the recipe in use: the window counts from now
  };
  Store store = Store::nothing;
  std::string refusal = {};  ///< in words, both sides named and what to do; empty: start
};

/// What a program that declares these recipes may do where those are stored.
RecipeDecision decide(const StoredRecipes& stored, const KeyRecipes& declared);

}  // namespace deja::core
