#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace deja::cli {

/// Bytes for people. `form`: text, json (indented), hex or base64; empty: text where it is UTF-8, else base64. Null is "(null)".
/// `for_terminal`: control characters are replaced. Throws Stop (65) for bytes that do not have the form.
std::string shown(const std::optional<std::string>& bytes, std::string_view form, bool for_terminal);

}  // namespace deja::cli
