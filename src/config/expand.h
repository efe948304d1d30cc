#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace deja::config {

using Environment = std::function<std::optional<std::string>(const std::string&)>;

/// Text after `${NAME}` and `$$` were replaced, or what was wrong with it.
struct Expansion {
  std::string text;
  std::string problem;           ///< empty when all is well
  bool used_environment = false;
};

/// Replaces `${NAME}` by the environment's value, once (what comes in is not looked at again), and `$$` by one dollar.
/// Any other dollar stays.
Expansion expand(std::string_view text, const Environment& environment);

}  // namespace deja::config
