#include "config/toml_source.h"

#include <toml++/toml.h>

#include <algorithm>

#include "config/toml_depth.h"

namespace deja::config {
namespace {

constexpr std::size_t largest_text = 1'048'576;

std::optional<Value> list_of_strings(const toml::array& array) {
  std::vector<std::string> list;
  for (const auto& item : array) {
    const auto* text = item.as_string();
    if (!text) return std::nullopt;
    list.push_back(text->get());
  }
  return list;
}

std::string odd_kind(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::array: return node.is_array_of_tables() ? "a list of tables" : "a list that is not all strings";
    case toml::node_type::date: return "a date (write it in quotes)";
    case toml::node_type::time: return "a time (write it in quotes)";
    case toml::node_type::date_time: return "a date and time (write it in quotes)";
    default: return "something else";
  }
}

std::optional<Value> value_of(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return number->get();
  if (const auto* number = node.as_floating_point()) return number->get();
  if (const auto* flag = node.as_boolean()) return flag->get();
  if (const auto* array = node.as_array()) return list_of_strings(*array);
  return std::nullopt;
}

// An array knows its line; a table made by dotted keys may not, so its parent's stands in.
unsigned line_of(const toml::node& node, unsigned parent) {
  const auto line = static_cast<unsigned>(node.source().begin.line);
  return line > 0 ? line : parent;
}

void collect(const toml::table& table, const std::string& prefix, unsigned parent, std::vector<TomlLeaf>& leaves) {
  for (const auto& [name, node] : table) {
    std::string key = prefix.empty() ? std::string() : prefix + ".";
    key += name.str();
    const auto line = line_of(node, parent);
    const auto* inner = node.as_table();
    if (inner && !inner->empty()) {
      collect(*inner, key, line, leaves);
      continue;
    }
    TomlLeaf leaf{.key = std::move(key), .value = std::nullopt, .odd = {}, .empty_table = inner != nullptr, .line = line};
    if (inner) {
      leaf.odd = "an empty table";
    } else {
      leaf.value = value_of(node);
      if (!leaf.value) leaf.odd = odd_kind(node);
    }
    leaves.push_back(std::move(leaf));
  }
}

TomlFault fault_of(const toml::parse_error& error) {
  return {static_cast<unsigned>(error.source().begin.line), std::string(error.description())};
}

}  // namespace

std::variant<std::vector<TomlLeaf>, TomlFault> read_toml(std::string_view text) {
  if (text.size() > largest_text) return TomlFault{0, "is larger than 1 MiB"};
  if (const auto line = too_deep_line(text)) return TomlFault{*line, "is nested too deeply"};
  try {
    const toml::table root = toml::parse(text);
    std::vector<TomlLeaf> leaves;
    collect(root, "", 0, leaves);
    std::ranges::stable_sort(leaves, {}, &TomlLeaf::line);
    return leaves;
  } catch (const toml::parse_error& error) {
    return fault_of(error);
  }
}

std::optional<Value> read_toml_value(std::string_view text) {
  const auto read = read_toml("value = " + std::string(text));
  const auto* leaves = std::get_if<std::vector<TomlLeaf>>(&read);
  // More than one leaf: the text went on with keys of its own.
  if (!leaves || leaves->size() != 1 || leaves->front().key != "value") return std::nullopt;
  return leaves->front().value;
}

}  // namespace deja::config
