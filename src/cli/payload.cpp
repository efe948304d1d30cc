#include "cli/payload.h"

#include <nlohmann/json.hpp>

#include <deja/errors.h>

#include "core/base64.h"
#include "core/utf8.h"

namespace deja::cli {
namespace {

constexpr int max_depth = 200;

bool nested_too_deeply(std::string_view text) {
  int depth = 0;
  for (const char c : text) {
    if ((c == '[' || c == '{') && ++depth > max_depth) return true;
    if (c == ']' || c == '}') --depth;
  }
  return false;
}

std::string indented(const std::string& bytes) {
  if (nested_too_deeply(bytes)) throw Stop(exit_code::wrong_data, "the payload is nested too deeply to be shown as JSON; --as text shows it");
  const auto json = nlohmann::ordered_json::parse(bytes, nullptr, false);
  if (json.is_discarded()) throw Stop(exit_code::wrong_data, "the payload is no JSON; --as text, hex or base64 show it");
  return json.dump(2);
}

std::string hex(std::string_view bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    out += digits[static_cast<unsigned char>(c) >> 4];
    out += digits[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

// A payload must not be able to drive the terminal of whoever looks at it.
std::string tamed(std::string text) {
  for (char& c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7F) c = '?';
  }
  return text;
}

}  // namespace

std::string shown(const std::optional<std::string>& bytes, std::string_view form, bool for_terminal) {
  if (!bytes) return "(null)";
  if (form == "hex") return hex(*bytes);
  if (form == "base64") return core::base64(*bytes);
  if (form == "json") return indented(*bytes);
  if (!core::is_utf8(*bytes)) {
    if (form == "text") throw Stop(exit_code::wrong_data, "the payload is no text; --as hex or base64 show it");
    return "base64:" + core::base64(*bytes);
  }
  return for_terminal ? tamed(*bytes) : *bytes;
}

}  // namespace deja::cli
