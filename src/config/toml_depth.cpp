#include "config/toml_depth.h"

namespace deja::config {
namespace {

constexpr int deepest_brackets = 16;
constexpr int longest_name = 64;

/// Walks over strings and comments without looking into them, so that only structure is counted.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  std::optional<unsigned> run() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"' || c == '\'') {
        skip_string(c);
      } else if (c == '#') {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      } else {
        count(c);
        ++at_;
      }
      if (depth_ > deepest_brackets || dots_ > longest_name) return line_;
    }
    return std::nullopt;
  }

 private:
  void count(char c) {
    switch (c) {
      case '[':
      case '{': ++depth_; break;
      case ']':
      case '}': depth_ -= depth_ > 0 ? 1 : 0; break;
      case '.': ++dots_; return;
      case '\n': ++line_; break;
      case '=':
      case ',': break;
      default: return;
    }
    dots_ = 0;
  }

  void skip_string(char quote) {
    const std::string_view fence = quote == '"' ? "\"\"\"" : "'''";
    const bool many_lines = text_.substr(at_).starts_with(fence);
    const std::string_view end = many_lines ? fence : fence.substr(0, 1);
    at_ += end.size();
    while (at_ < text_.size() && !text_.substr(at_).starts_with(end)) {
      if (text_[at_] == '\n') {
        if (!many_lines) return;
        ++line_;
      }
      at_ += text_[at_] == '\\' && quote == '"' && text_.substr(at_ + 1, 1) != "\n" ? 2U : 1U;
    }
    at_ += end.size();
    // Up to two quotes may stand before the closing fence.
    if (many_lines) {
      for (int extra = 0; extra < 2 && at_ < text_.size() && text_[at_] == quote; ++extra) ++at_;
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
  unsigned line_ = 1;
  int depth_ = 0;
  int dots_ = 0;
};

}  // namespace

std::optional<unsigned> too_deep_line(std::string_view text) { return Scanner(text).run(); }

}  // namespace deja::config
