#include "cli/filter_lexer.h"

#include "cli/filter.h"

namespace deja::cli {
namespace {

constexpr std::string_view blanks = " \t\r\n";
constexpr std::string_view ends_a_word = " \t\r\n()=!<>~\"'";

}  // namespace

Token FilterLexer::next() {
  at_ = expression_.find_first_not_of(blanks, at_);
  if (at_ == std::string_view::npos) at_ = expression_.size();
  const auto position = at_ + 1;
  if (at_ == expression_.size()) return {TokenKind::end, "", position};
  const char c = expression_[at_];
  if (c == '(' || c == ')') return {expression_[at_++] == '(' ? TokenKind::open : TokenKind::close, std::string(1, c), position};
  if (c == '"' || c == '\'') return quoted();
  for (const std::string_view sign : {"!=", "<=", ">=", "=", "<", ">", "~"}) {
    if (expression_.substr(at_).starts_with(sign)) {
      at_ += sign.size();
      return {TokenKind::comparison, std::string(sign), position};
    }
  }
  const auto end = std::min(expression_.find_first_of(ends_a_word, at_), expression_.size());
  if (end == at_) throw FilterError(position, "unexpected \"" + std::string(1, c) + "\"");
  Token word{TokenKind::word, std::string(expression_.substr(at_, end - at_)), position};
  at_ = end;
  return word;
}

Token FilterLexer::quoted() {
  Token token{TokenKind::text, "", at_ + 1};
  const char quote = expression_[at_++];
  for (; at_ < expression_.size(); ++at_) {
    if (expression_[at_] == quote) {
      ++at_;
      return token;
    }
    if (expression_[at_] == '\\' && at_ + 1 < expression_.size()) ++at_;
    token.text += expression_[at_];
  }
  throw FilterError(token.position, "the quoted text has no end");
}

}  // namespace deja::cli
