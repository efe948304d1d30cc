#include "core/fingerprint.h"

#include <cctype>

#include "core/hash.h"

namespace deja::core {

namespace {
constexpr std::size_t looked_at = 512;

bool of_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || (static_cast<unsigned char>(c) & 0x80U) != 0; }
}  // namespace

std::string normalised_error(std::string_view message) {
  message = message.substr(0, looked_at);
  std::string out;
  for (std::size_t i = 0; i < message.size();) {
    const char c = message[i];
    // an apostrophe within a word quotes nothing
    if ((c == '"' || c == '\'' || c == '`') && (i == 0 || !of_word(message[i - 1]))) {
      if (const auto end = message.find(c, i + 1); end != std::string_view::npos) {
        out += c;
        out += '?';
        out += c;
        i = end + 1;
        continue;
      }
    }
    auto end = i;
    bool varies = false;
    for (; end < message.size() && of_word(message[end]); ++end) varies = varies || std::isdigit(static_cast<unsigned char>(message[end])) != 0;
    if (end == i) {
      out += c;
      ++i;
      continue;
    }
    if (varies) out += '#';
    else out += message.substr(i, end - i);
    i = end;
  }
  return out;
}

std::string failure_fingerprint(std::string_view type, std::string_view stage, std::string_view message) {
  return to_text(FramedHash().part(type).part(stage).part(normalised_error(message)).finish_uuid()).substr(0, 8);
}

}  // namespace deja::core
