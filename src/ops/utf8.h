#pragma once

#include <cstddef>
#include <string_view>

namespace deja::ops {

inline constexpr char32_t replacement_character = 0xFFFD;

struct DecodedCharacter {
  char32_t code;      // replacement_character when the bytes are no UTF-8
  std::size_t bytes;  // how many were read, at least 1
  bool valid;
};

/// The first character of `text`, which must not be empty. Overlong forms and surrogates are not valid.
DecodedCharacter decode_utf8(std::string_view text);
}  // namespace deja::ops
