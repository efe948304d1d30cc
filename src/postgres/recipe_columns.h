#pragma once

#include "core/key_change.h"

namespace deja::postgres {

/// The columns of table recipes from `handler` to `secret_id`, and the same ones of the recipe before.
constexpr const char* recipe_columns = "handler, scope, strategy, tenancy, secret_id, previous_handler, previous_scope, previous_strategy, previous_tenancy, previous_secret_id";

template <class Columns>
core::KeyRecipes read_recipes(Columns& columns) {
  core::KeyRecipes recipes;
  auto& now = recipes.now;
  for (auto* field : {&now.handler, &now.scope, &now.strategy, &now.tenancy, &now.secret_id}) *field = columns.text();
  core::KeyRecipe previous;
  bool has_previous = false;
  for (auto* field : {&previous.handler, &previous.scope, &previous.strategy, &previous.tenancy, &previous.secret_id})
    if (auto text = columns.maybe_text()) *field = std::move(*text), has_previous = true;
  if (has_previous) recipes.previous = std::move(previous);
  return recipes;
}

}  // namespace deja::postgres
