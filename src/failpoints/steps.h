#pragma once

#include <string_view>

namespace deja::failpoints {

enum class Step : unsigned {
#define STEP(name, throws, words) name,
#include "failpoints/steps.def"
#undef STEP
};

/// What the action `throw` throws at a step: only what the code there has to survive.
enum class Throws { nothing, lost_link, handler_error };

struct StepRow {
  std::string_view name;
  Throws throws;
  std::string_view words;
};

/// One row for each Step, in its order.
inline constexpr StepRow step_table[] = {
#define STEP(name, throws, words) {#name, Throws::throws, words},
#include "failpoints/steps.def"
#undef STEP
};

}  // namespace deja::failpoints
