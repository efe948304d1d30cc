#pragma once

#include <string>
#include <string_view>

namespace deja::core {

/// RFC 4648, with padding, without line breaks.
std::string base64(std::string_view bytes);
/// Throws std::invalid_argument for anything else.
std::string unbase64(std::string_view text);

}  // namespace deja::core
