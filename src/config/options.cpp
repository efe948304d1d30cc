#include "config/options.h"

#include <algorithm>
#include <numeric>

namespace deja::config {
namespace {

// Keys come from files, so the work for a wrong one is bounded.
constexpr std::size_t longest_compared_key = 120;

std::size_t edit_distance(std::string_view left, std::string_view right) {
  std::vector<std::size_t> row(right.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < left.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < right.size(); ++j) {
      const std::size_t replaced = diagonal + (left[i] == right[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

std::string listed_choices(const Option& option, std::string_view separator, std::string_view last) {
  const auto words = split(option.choices, ' ');
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? last : separator;
    text += words[i];
  }
  return text;
}

std::string from_to(const Option& option) {
  if (option.min == option.max) return "exactly " + std::to_string(option.min);
  return "from " + std::to_string(option.min) + " to " + std::to_string(option.max);
}

std::string string_expectation(Shape shape) {
  switch (shape) {
    case Shape::any: break;
    case Shape::identifier: return "a name of at most 63 lower-case letters, digits and _, not starting with a digit";
    case Shape::address: return "host:port (port 0 to 65535), or off";
  }
  return "a string without NUL";
}

}  // namespace

const Option* find_option(std::string_view key) {
  const auto rows = options();
  const auto found = std::ranges::find(rows, key, &Option::key);
  return found == rows.end() ? nullptr : &*found;
}

bool is_option_prefix(std::string_view key) {
  return std::ranges::any_of(options(), [key](const Option& option) {
    return option.key.size() > key.size() && option.key.starts_with(key) && option.key[key.size()] == '.';
  });
}

std::string nearest(std::string_view key, std::span<const std::string_view> candidates) {
  if (key.size() > longest_compared_key) return {};
  std::size_t best = std::max<std::size_t>(2, key.size() / 3) + 1;
  std::string_view found;
  for (const auto candidate : candidates) {
    if (const auto distance = edit_distance(key, candidate); distance < best) {
      best = distance;
      found = candidate;
    }
  }
  return std::string(found);
}

std::string nearest_option(std::string_view key) {
  // A key that goes on below a known one (`http.address.port`) means that one.
  for (const auto& option : options()) {
    if (key.starts_with(option.key) && key.substr(option.key.size()).starts_with('.')) return std::string(option.key);
  }
  std::vector<std::string_view> known;
  for (const auto& option : options()) known.push_back(option.key);
  return nearest(key, known);
}

std::string_view type_name(Type type) {
  switch (type) {
    case Type::string: return "string";
    case Type::integer: return "integer";
    case Type::ratio: return "ratio";
    case Type::duration: return "duration";
    case Type::boolean: return "boolean";
    case Type::choice: return "enum";
    case Type::list: return "list";
    case Type::secret: return "secret";
  }
  return "string";
}

std::string range_text(const Option& option) {
  switch (option.type) {
    case Type::integer:
    case Type::duration:
    case Type::ratio: return std::to_string(option.min) + ".." + std::to_string(option.max);
    case Type::choice: return listed_choices(option, ", ", ", ");
    case Type::boolean: return "true, false";
    case Type::string: break;
    case Type::list:
    case Type::secret: return {};
  }
  switch (option.shape) {
    case Shape::any: break;
    case Shape::identifier: return "[a-z_][a-z0-9_]*";
    case Shape::address: return "host:port, off";
  }
  return {};
}

std::string expectation(const Option& option) {
  switch (option.type) {
    case Type::integer: return "a whole number (" + std::string(option.unit) + "), " + from_to(option);
    case Type::duration: return "a whole number of milliseconds, " + from_to(option);
    case Type::ratio: return "a number " + from_to(option);
    case Type::boolean: return "true or false";
    case Type::choice: return listed_choices(option, ", ", " or ");
    case Type::list: return "a list of strings without NUL";
    case Type::secret: return "a string without NUL";
    case Type::string: break;
  }
  return string_expectation(option.shape);
}

std::vector<std::string> split(std::string_view text, char separator) {
  constexpr std::string_view blanks = " \t\r\n";
  std::vector<std::string> words;
  if (text.find_first_not_of(blanks) == std::string_view::npos) return words;
  while (true) {
    const auto end = text.find(separator);
    auto word = text.substr(0, end);
    word.remove_prefix(std::min(word.find_first_not_of(blanks), word.size()));
    word = word.substr(0, word.find_last_not_of(blanks) + 1);
    words.emplace_back(word);
    if (end == std::string_view::npos) return words;
    text.remove_prefix(end + 1);
  }
}

}  // namespace deja::config
