#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace deja::config {

enum class Type { string, integer, ratio, duration, boolean, choice, list, secret };

/// What a string must look like, where any text would not do.
enum class Shape { any, identifier, address };

/// One row of the option table: everything there is to say about a key. The page in docs/, `deja config` and the checks of
/// Config::load come from here and from nowhere else.
struct Option {
  std::string_view section = {};
  std::string_view key = {};
  Type type = Type::string;
  std::string_view default_text = {};  ///< as it would be written after `--set key=`
  std::string_view unit = {};
  std::int64_t min = 0;  ///< of integers, durations (milliseconds) and ratios
  std::int64_t max = 0;
  std::string_view choices = {};  ///< of Type::choice, separated by one space
  std::string_view description = {};
  std::string_view derived_default = {};  ///< in words, where an empty value stands for something else
  std::string_view environment = {};      ///< the variable that is the default, if there is one
  Shape shape = Shape::any;
};

/// All rows, in the order in which they are shown.
std::span<const Option> options();

/// The row of `key`, or nullptr.
const Option* find_option(std::string_view key);

/// True when `key` is the beginning of a known key (`retry`, `retry.backoff`).
bool is_option_prefix(std::string_view key);

/// The candidate that looks most like `key`, or empty when none comes close.
std::string nearest(std::string_view key, std::span<const std::string_view> candidates);

/// The known key that `key` was probably meant to be, or empty.
std::string nearest_option(std::string_view key);

std::string_view type_name(Type type);

/// The allowed values, short: `1..10000`, `earliest, latest`; empty when every value of the type will do.
std::string range_text(const Option& option);

/// What would be right, as the end of a sentence: `a whole number of milliseconds from 1 to 1000`.
std::string expectation(const Option& option);

/// The words of `text` between separators, without the blanks round them; none for an empty text.
std::vector<std::string> split(std::string_view text, char separator);

}  // namespace deja::config
