#pragma once

#include <string_view>

namespace deja::core {

/// Well-formed UTF-8 by Unicode's table 3-7 (no surrogates, no overlong forms). NUL is fine.
bool is_utf8(std::string_view bytes);
/// What a Postgres text column takes: well-formed UTF-8 without NUL.
bool is_text(std::string_view bytes);

}  // namespace deja::core
