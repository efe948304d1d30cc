#include "config/expand.h"

#include <algorithm>

namespace deja::config {
namespace {

bool is_variable_name(std::string_view name) {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  return !name.empty() && is_letter(name.front()) &&
         std::ranges::all_of(name, [&](char c) { return is_letter(c) || is_digit(c); });
}

}  // namespace

Expansion expand(std::string_view text, const Environment& environment) {
  Expansion result;
  while (true) {
    const auto dollar = text.find('$');
    result.text += text.substr(0, dollar);
    if (dollar == std::string_view::npos) return result;
    text.remove_prefix(dollar + 1);
    if (text.starts_with('$')) {
      result.text += '$';
      text.remove_prefix(1);
    } else if (text.starts_with('{')) {
      const auto end = text.find('}');
      const auto name = std::string(text.substr(1, end == std::string_view::npos ? end : end - 1));
      if (end == std::string_view::npos || !is_variable_name(name)) {
        result.problem = "has a ${ that is not followed by the name of a variable and }; write $${ for the text itself";
        return result;
      }
      const auto value = environment ? environment(name) : std::nullopt;
      if (!value) {
        result.problem = "uses ${" + name + "}, which is not set in the environment; set it, or write $${" + name +
                         "} for the text itself";
        return result;
      }
      result.text += *value;
      result.used_environment = true;
      text.remove_prefix(end + 1);
    } else {
      result.text += '$';
    }
  }
}

}  // namespace deja::config
