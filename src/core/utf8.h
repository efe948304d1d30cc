#pragma once

#include <cstddef>
#include <string_view>

namespace deja::core {

/// Well-formed UTF-8 by Unicode's table 3-7 (no surrogates, no overlong forms). NUL is fine.
bool is_utf8(std::string_view bytes);
/// What a Postgres text column takes: well-formed UTF-8 without NUL.
bool is_text(std::string_view bytes);
/// The longest prefix of at most `limit` bytes that does not cut a character in two.
std::string_view utf8_prefix(std::string_view text, std::size_t limit);

}  // namespace deja::core
