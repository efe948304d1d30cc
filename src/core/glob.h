#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace deja::core {

/// Whether the text is as the pattern says: `*` stands for any text, all else for itself, in upper or lower case (ASCII).
bool matches(std::string_view pattern, std::string_view text);
bool matches_any(const std::vector<std::string>& patterns, std::string_view text);

}  // namespace deja::core
