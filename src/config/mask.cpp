#include "config/mask.h"

#include <algorithm>
#include <array>

#include "config/options.h"

namespace deja::config {
namespace {

constexpr std::string_view stars = "****";

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return result;
}

bool is_secret(std::string_view key) {
  const auto* option = find_option(key);
  if (option) return option->type == Type::secret;
  const auto name = lower(key);
  constexpr std::array<std::string_view, 9> telling = {"password", "passwd",     "passphrase", "secret",  "jaas",
                                                       "credential", "private.key", "ssl.key.pem", "api.key"};
  return std::ranges::any_of(telling, [&](std::string_view word) { return name.find(word) != std::string::npos; }) ||
         name.ends_with("token") || name.ends_with("sasl.oauthbearer.config");
}

// From the first ':' behind "://" to the last '@': a password may itself hold '@', '/' or ':', and showing less is no harm.
void mask_url(std::string& text) {
  const auto scheme = text.find("://");
  if (scheme == std::string::npos) return;
  const auto query = text.find('?', scheme);
  auto at = text.rfind('@', query == std::string::npos ? query : query - 1);
  if (at == std::string::npos || at < scheme) at = text.rfind('@');
  const auto colon = text.find(':', scheme + 3);
  if (at == std::string::npos || colon == std::string::npos || colon > at) return;
  text.replace(colon + 1, at - colon - 1, stars);
}

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// The end of the value that starts at `begin`: quoted with ' and \ as in libpq, else up to a blank or, in a URL, to '&'.
std::size_t end_of_word(const std::string& text, std::size_t begin) {
  if (begin < text.size() && text[begin] == '\'') {
    for (auto i = begin + 1; i < text.size(); ++i) {
      if (text[i] == '\\') {
        ++i;
      } else if (text[i] == '\'') {
        return i + 1;
      }
    }
    return text.size();
  }
  const bool url = text.find("://") != std::string::npos;
  auto i = begin;
  while (i < text.size() && !(url ? text[i] == '&' : is_blank(text[i]))) i += text[i] == '\\' && i + 1 < text.size() ? 2U : 1U;
  return i;
}

// `password = x` and `sslpassword=x`, in libpq's words and in the query of a URL.
void mask_words(std::string& text) {
  constexpr std::string_view word = "password";
  std::size_t position = 0;
  while ((position = lower(text).find(word, position)) != std::string::npos) {
    position += word.size();
    auto begin = position;
    while (begin < text.size() && is_blank(text[begin])) ++begin;
    if (begin == text.size() || text[begin] != '=') continue;
    ++begin;
    while (begin < text.size() && is_blank(text[begin])) ++begin;
    text.replace(begin, end_of_word(text, begin) - begin, stars);
    position = begin + stars.size();
  }
}

}  // namespace

std::string masked(std::string_view key, std::string_view text) {
  if (is_secret(key)) return text.empty() ? std::string{} : std::string(stars);
  std::string result(text);
  mask_url(result);
  mask_words(result);
  return result;
}

std::string quoted_for_message(std::string_view key, std::string_view text) {
  constexpr std::size_t longest = 120;
  const auto shown = masked(key, text);
  std::string result = "\"";
  for (const char c : shown.substr(0, longest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      result += "\\n";
    } else {
      result += byte < 0x20 || byte == 0x7f ? '?' : c;
    }
  }
  return result + (shown.size() > longest ? "...\"" : "\"");
}

}  // namespace deja::config
