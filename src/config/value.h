#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace deja::config {

struct Option;

using Value = std::variant<std::string, std::int64_t, double, bool, std::vector<std::string>>;

/// `given` as the option keeps it (a ratio is always a double), or nothing when its type, range or shape is wrong.
std::optional<Value> accept(const Option& option, const Value& given);

/// The same for text that carries no type: `--set`, an environment variable, a default of the table.
std::optional<Value> accept_text(const Option& option, std::string_view text);

std::optional<std::int64_t> parse_integer(std::string_view text);
std::optional<double> parse_number(std::string_view text);
std::optional<bool> parse_flag(std::string_view text);

/// Plain text; a list as TOML writes it.
std::string to_text(const Value& value);

/// The type in words: `a string`, `a whole number`, ...
std::string_view kind_of(const Value& value);

}  // namespace deja::config
