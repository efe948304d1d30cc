#pragma once

#include <optional>
#include <string_view>

namespace deja::config {

/// The first line of a TOML text whose brackets or dotted names nest deeper than any setting needs, if there is one. Parsing
/// and freeing a TOML tree recurse, so depth without a bound would be a stack overflow.
std::optional<unsigned> too_deep_line(std::string_view text);

}  // namespace deja::config
