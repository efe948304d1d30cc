#include "cli/filter.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <vector>

#include "cli/filter_lexer.h"
#include "cli/instant.h"

namespace deja::cli {

class Filter::Node {
 public:
  virtual ~Node() = default;
  virtual bool fits(const Row& row) const = 0;
};

namespace {

using NodePointer = std::unique_ptr<const Filter::Node>;

constexpr int max_depth = 100;

class All final : public Filter::Node {
 public:
  bool fits(const Row&) const override { return true; }
};

class Join final : public Filter::Node {
 public:
  Join(bool any, std::vector<NodePointer> parts) : any_(any), parts_(std::move(parts)) {}
  bool fits(const Row& row) const override {
    const auto one = [&](const NodePointer& part) { return part->fits(row); };
    return any_ ? std::any_of(parts_.begin(), parts_.end(), one) : std::all_of(parts_.begin(), parts_.end(), one);
  }

 private:
  bool any_;
  std::vector<NodePointer> parts_;
};

// `order`: below, at or above zero, as the field is below, equal to or above the value.
bool holds(std::string_view sign, int order) {
  if (sign == "=") return order == 0;
  if (sign == "!=") return order != 0;
  if (sign == "<") return order < 0;
  if (sign == "<=") return order <= 0;
  if (sign == ">") return order > 0;
  return order >= 0;
}

template <class T>
int ordered(const T& left, const T& right) {
  return left < right ? -1 : right < left ? 1 : 0;
}

// What the field is compared with, read once in the way the field needs.
struct Literal {
  std::string text;
  bool null = false;
  double number = 0;
  std::int64_t instant = 0;
  bool flag = false;
};

class Comparison final : public Filter::Node {
 public:
  Comparison(std::size_t field, FieldType type, std::string sign, Literal literal)
      : field_(field), type_(type), sign_(std::move(sign)), literal_(std::move(literal)) {}

  bool fits(const Row& row) const override {
    const auto& cell = row[field_];
    if (literal_.null || is_null(cell)) return literal_.null ? is_null(cell) == (sign_ == "=") : sign_ == "!=";
    if (const auto* list = std::get_if<std::vector<std::string>>(&cell)) return fits_list(*list);
    if (sign_ == "~") return text_of(cell).find(literal_.text) != std::string::npos;
    return holds(sign_, order(cell));
  }

 private:
  bool fits_list(const std::vector<std::string>& list) const {
    if (sign_ == "!=") return std::find(list.begin(), list.end(), literal_.text) == list.end();
    return std::any_of(list.begin(), list.end(), [&](const std::string& element) {
      return sign_ == "~" ? element.find(literal_.text) != std::string::npos : holds(sign_, ordered(element, literal_.text));
    });
  }

  int order(const Cell& cell) const {
    switch (type_) {
      case FieldType::number: return ordered(number_of(cell), literal_.number);
      case FieldType::flag: return ordered(std::get<bool>(cell), literal_.flag);
      case FieldType::time: return ordered(parse_instant(std::get<std::string>(cell)).value_or(0), literal_.instant);
      default: return ordered(text_of(cell), literal_.text);
    }
  }

  static double number_of(const Cell& cell) {
    if (const auto* whole = std::get_if<std::int64_t>(&cell)) return static_cast<double>(*whole);
    return std::get<double>(cell);
  }

  static std::string text_of(const Cell& cell) {
    if (const auto* text = std::get_if<std::string>(&cell)) return *text;
    if (const auto* whole = std::get_if<std::int64_t>(&cell)) return std::to_string(*whole);
    if (const auto* number = std::get_if<double>(&cell)) return std::to_string(*number);
    if (const auto* flag = std::get_if<bool>(&cell)) return *flag ? "true" : "false";
    return "";
  }

  std::size_t field_;
  FieldType type_;
  std::string sign_;
  Literal literal_;
};

Literal read_literal(const Token& token, const Field& field, std::string_view sign) {
  Literal literal{.text = token.text};
  const auto wrong = [&](const std::string& right) {
    return FilterError(token.position, std::string(field.name) + " is " + right + ", which \"" + token.text + "\" is not");
  };
  if (token.kind == TokenKind::word && token.text == "null") {
    if (sign != "=" && sign != "!=") throw FilterError(token.position, "null goes with = and != alone");
    literal.null = true;
    return literal;
  }
  if (sign == "~") return literal;
  if (field.type == FieldType::number) {
    const auto* end = token.text.data() + token.text.size();
    const auto result = std::from_chars(token.text.data(), end, literal.number);
    if (result.ec != std::errc() || result.ptr != end || !std::isfinite(literal.number)) throw wrong("a number");
  } else if (field.type == FieldType::time) {
    const auto instant = parse_instant(token.text);
    if (!instant) throw wrong("a time such as 2026-11-22T01:00Z");
    literal.instant = *instant;
  } else if (field.type == FieldType::flag) {
    if (token.text != "true" && token.text != "false") throw wrong("true or false");
    literal.flag = token.text == "true";
  }
  return literal;
}

bool is_keyword(const Token& token, std::string_view keyword) {
  return token.kind == TokenKind::word &&
         std::equal(token.text.begin(), token.text.end(), keyword.begin(), keyword.end(), [](char a, char b) { return (a | 0x20) == b; });
}

class Parser {
 public:
  Parser(std::string_view expression, std::span<const Field> fields) : lexer_(expression), fields_(fields) { advance(); }

  NodePointer whole() {
    auto node = alternatives();
    if (token_.kind != TokenKind::end) throw FilterError(token_.position, "expected and, or, or the end, not \"" + token_.text + "\"");
    return node;
  }

 private:
  void advance() { token_ = lexer_.next(); }

  NodePointer alternatives() { return joined("or", [this] { return conjunction(); }); }
  NodePointer conjunction() { return joined("and", [this] { return term(); }); }

  template <class Part>
  NodePointer joined(std::string_view keyword, Part part) {
    std::vector<NodePointer> parts;
    parts.push_back(part());
    while (is_keyword(token_, keyword)) {
      advance();
      parts.push_back(part());
    }
    return parts.size() == 1 ? std::move(parts.front()) : std::make_unique<Join>(keyword == "or", std::move(parts));
  }

  NodePointer term() {
    if (token_.kind != TokenKind::open) return comparison();
    if (++depth_ > max_depth) throw FilterError(token_.position, "too many parentheses");
    const auto opened = token_.position;
    advance();
    auto node = alternatives();
    if (token_.kind != TokenKind::close) throw FilterError(token_.position, "the parenthesis of position " + std::to_string(opened) + " is not closed");
    advance();
    --depth_;
    return node;
  }

  NodePointer comparison() {
    if (token_.kind != TokenKind::word) {
      throw FilterError(token_.position, token_.kind == TokenKind::end ? "expected a field, not the end" : "expected a field, not \"" + token_.text + "\"");
    }
    const auto found = std::find_if(fields_.begin(), fields_.end(), [&](const Field& f) { return f.name == token_.text; });
    if (found == fields_.end()) throw FilterError(token_.position, "there is no field \"" + token_.text + "\" (" + names() + ")");
    const auto& field = *found;
    advance();
    if (token_.kind != TokenKind::comparison) throw FilterError(token_.position, "expected = != < <= > >= or ~ after " + std::string(field.name));
    const auto sign = token_.text;
    advance();
    if (token_.kind != TokenKind::word && token_.kind != TokenKind::text) throw FilterError(token_.position, "expected a value after " + sign);
    auto literal = read_literal(token_, field, sign);
    advance();
    return std::make_unique<Comparison>(static_cast<std::size_t>(found - fields_.begin()), field.type, sign, std::move(literal));
  }

  std::string names() const {
    std::string all;
    for (const auto& field : fields_) all += (all.empty() ? "" : ", ") + std::string(field.name);
    return all;
  }

  FilterLexer lexer_;
  std::span<const Field> fields_;
  Token token_;
  int depth_ = 0;
};

}  // namespace

FilterError::FilterError(std::size_t position, const std::string& problem)
    : std::runtime_error("--filter, position " + std::to_string(position) + ": " + problem) {}

Filter::Filter() : root_(std::make_unique<All>()) {}
Filter::Filter(std::string_view expression, std::span<const Field> fields) : root_(Parser(expression, fields).whole()) {}
Filter::~Filter() = default;
Filter::Filter(Filter&&) noexcept = default;
Filter& Filter::operator=(Filter&&) noexcept = default;
bool Filter::fits(const Row& row) const { return root_->fits(row); }

}  // namespace deja::cli
