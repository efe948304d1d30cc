#include <deja/value.h>

#include <string>
#include <string_view>

namespace deja {

Value bytea(std::string_view bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text = "\\x";  // Postgres' hex form
  text.reserve(2 + 2 * bytes.size());
  for (const char byte : bytes) {
    const auto value = static_cast<unsigned char>(byte);
    text += digits[value >> 4];
    text += digits[value & 0xf];
  }
  return Value(text);
}

}  // namespace deja
