#include "config/value.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "config/options.h"

namespace deja::config {
namespace {

bool is_lower_word(char c) { return (c >= 'a' && c <= 'z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_identifier(std::string_view text) {
  return !text.empty() && text.size() <= 63 && is_lower_word(text.front()) &&
         std::ranges::all_of(text, [](char c) { return is_lower_word(c) || is_digit(c); });
}

bool is_address(std::string_view text) {
  if (text == "off") return true;
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const auto host = text.substr(0, colon);
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (!bracketed && host.find_first_of(":[]/ @") != std::string_view::npos) return false;
  const auto digits = text.substr(colon + 1);
  if (digits.empty() || !std::ranges::all_of(digits, is_digit)) return false;
  const auto port = parse_integer(digits);
  return port && *port <= 65'535;
}

// libpq, librdkafka and the kernel take C strings: what follows a NUL would be dropped in silence.
bool has_nul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

bool has_shape(const Option& option, std::string_view text) {
  if (has_nul(text)) return false;
  switch (option.shape) {
    case Shape::any: return true;
    case Shape::identifier: return is_identifier(text);
    case Shape::address: return is_address(text);
  }
  return false;
}

std::optional<Value> in_range(const Option& option, std::int64_t number) {
  if (number < option.min || number > option.max) return std::nullopt;
  return number;
}

std::optional<Value> in_range(const Option& option, double number) {
  // Written so that NaN is out of range as well.
  if (!(number >= static_cast<double>(option.min) && number <= static_cast<double>(option.max))) return std::nullopt;
  return number;
}

template <typename T>
const T* as(const Value& value) {
  return std::get_if<T>(&value);
}

std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + '"';
}

template <typename Number>
std::optional<Number> parse_whole(std::string_view text) {
  Number number{};
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

std::optional<Value> accept(const Option& option, const Value& given) {
  switch (option.type) {
    case Type::integer:
    case Type::duration:
      if (const auto* number = as<std::int64_t>(given)) return in_range(option, *number);
      break;
    case Type::ratio:
      if (const auto* number = as<double>(given)) return in_range(option, *number);
      if (const auto* number = as<std::int64_t>(given)) return in_range(option, static_cast<double>(*number));
      break;
    case Type::boolean:
      if (as<bool>(given)) return given;
      break;
    case Type::list:
      if (const auto* list = as<std::vector<std::string>>(given); list && std::ranges::none_of(*list, has_nul)) return given;
      break;
    case Type::choice:
      if (const auto* text = as<std::string>(given)) {
        const auto words = split(option.choices, ' ');
        if (std::ranges::find(words, *text) != words.end()) return given;
      }
      break;
    case Type::string:
    case Type::secret:
      if (const auto* text = as<std::string>(given); text && has_shape(option, *text)) return given;
      break;
  }
  return std::nullopt;
}

std::optional<Value> accept_text(const Option& option, std::string_view text) {
  switch (option.type) {
    case Type::integer:
    case Type::duration:
      if (const auto number = parse_integer(text)) return in_range(option, *number);
      return std::nullopt;
    case Type::ratio:
      if (const auto number = parse_number(text)) return in_range(option, *number);
      return std::nullopt;
    case Type::boolean:
      if (const auto flag = parse_flag(text)) return *flag;
      return std::nullopt;
    case Type::list: return accept(option, split(text, ','));
    case Type::string:
    case Type::choice:
    case Type::secret: break;
  }
  return accept(option, std::string(text));
}

std::optional<std::int64_t> parse_integer(std::string_view text) { return parse_whole<std::int64_t>(text); }
std::optional<double> parse_number(std::string_view text) { return parse_whole<double>(text); }

std::optional<bool> parse_flag(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return std::nullopt;
}

std::string to_text(const Value& value) {
  if (const auto* text = as<std::string>(value)) return *text;
  if (const auto* number = as<std::int64_t>(value)) return std::to_string(*number);
  if (const auto* flag = as<bool>(value)) return *flag ? "true" : "false";
  if (const auto* number = as<double>(value)) {
    std::array<char, 64> buffer{};
    const auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), *number);
    return error == std::errc{} ? std::string(buffer.data(), end) : std::to_string(*number);
  }
  std::string text = "[";
  for (const auto& item : std::get<std::vector<std::string>>(value)) {
    if (text.size() > 1) text += ", ";
    text += quoted(item);
  }
  return text + "]";
}

std::string_view kind_of(const Value& value) {
  constexpr std::array<std::string_view, std::variant_size_v<Value>> names = {"a string", "a whole number", "a number",
                                                                             "true or false", "a list of strings"};
  return names.at(value.index());
}

}  // namespace deja::config
