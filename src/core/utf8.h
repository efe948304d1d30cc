#pragma once

#include <cstddef>
#include <string_view>

namespace deja::core {

/// Well-formed UTF-8 by Unicode's table 3-7 (no surrogates, no overlong forms). NUL is fine.
bool is_utf8(std::string_view bytes);
/// What a Postgres text column takes: well-formed UTF-8 without NUL.
bool is_text(std::string_view bytes);
/// At most `bytes` of a well-formed text, not cut within a character.
std::string_view whole_prefix(std::string_view text, std::size_t bytes);

}  // namespace deja::core
