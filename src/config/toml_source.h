#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/value.h"

namespace deja::config {

/// One setting of a TOML text. Tables and quoted names come to the same dotted key.
struct TomlLeaf {
  std::string key;
  std::optional<Value> value;  ///< none for what no setting can be
  std::string odd;             ///< what it is instead, in words
  bool empty_table = false;
  unsigned line = 0;
};

struct TomlFault {
  unsigned line = 0;  ///< 0 when it is about the text as a whole
  std::string description;
};

/// All settings in the order of their lines, or the first fault. Never throws for what the text holds, and its depth is
/// bounded before the parser, which recurses, sees it.
std::variant<std::vector<TomlLeaf>, TomlFault> read_toml(std::string_view text);

/// `text` as one TOML value (`5`, `"x"`, `["a", "b"]`), or nothing when it is none that a setting can be.
std::optional<Value> read_toml_value(std::string_view text);

}  // namespace deja::config
