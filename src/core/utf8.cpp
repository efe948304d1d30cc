#include "core/utf8.h"

#include <cstdint>

namespace deja::core {

namespace {
bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U; }
}  // namespace

bool is_utf8(std::string_view bytes) {
  const auto at = [&](std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); };
  for (std::size_t i = 0; i < bytes.size();) {
    const auto first = at(i);
    std::size_t more = 0;
    std::uint8_t low = 0x80, high = 0xBF;  // of the second byte
    if (first < 0x80) {
      ++i;
      continue;
    }
    if (first >= 0xC2 && first <= 0xDF) {
      more = 1;
    } else if (first >= 0xE0 && first <= 0xEF) {
      more = 2;
      if (first == 0xE0) low = 0xA0;
      if (first == 0xED) high = 0x9F;
    } else if (first >= 0xF0 && first <= 0xF4) {
      more = 3;
      if (first == 0xF0) low = 0x90;
      if (first == 0xF4) high = 0x8F;
    } else {
      return false;
    }
    if (i + more >= bytes.size() || at(i + 1) < low || at(i + 1) > high) return false;
    for (std::size_t k = 2; k <= more; ++k)
      if (!is_continuation(bytes[i + k])) return false;
    i += more + 1;
  }
  return true;
}

std::string_view utf8_prefix(std::string_view text, std::size_t limit) {
  if (text.size() <= limit) return text;
  std::size_t end = limit;
  // A character has at most three continuation bytes; more than that is no UTF-8 and may be cut anywhere.
  for (int i = 0; i < 3 && end > 0 && is_continuation(text[end]); ++i) --end;
  if (is_continuation(text[end])) end = limit;
  return text.substr(0, end);
}

bool is_text(std::string_view bytes) { return bytes.find('\0') == std::string_view::npos && is_utf8(bytes); }

}  // namespace deja::core
