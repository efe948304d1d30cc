#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace deja::cli {

enum class TokenKind { word, text, comparison, open, close, end };

struct Token {
  TokenKind kind = TokenKind::end;
  std::string text;          ///< of quoted text without quotes and escapes
  std::size_t position = 1;  ///< of its first character
};

/// Splits a filter into tokens, one at a time. Throws FilterError.
class FilterLexer {
 public:
  explicit FilterLexer(std::string_view expression) : expression_(expression) {}
  Token next();

 private:
  Token quoted();
  std::string_view expression_;
  std::size_t at_ = 0;
};

}  // namespace deja::cli
