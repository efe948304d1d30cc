#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace deja::cli {

/// Microseconds since 1970 of an RFC 3339 time; seconds and their fraction may be left out, and so may the whole time of day with
/// its zone (then it is midnight, UTC). Nothing for anything else.
std::optional<std::int64_t> parse_instant(std::string_view text);

/// RFC 3339, UTC, microseconds.
std::string format_instant(std::int64_t microseconds);

}  // namespace deja::cli
