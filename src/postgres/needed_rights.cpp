#include "postgres/needed_rights.h"

#include <algorithm>
#include <cctype>
#include <set>

namespace deja::postgres {
namespace {

constexpr std::size_t longest_statement = 65'536;  // what follows is values

bool in_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

std::string refused_name(std::string_view message) {
  for (const std::string_view kind : {"permission denied for table ", "permission denied for view "}) {
    const auto at = message.find(kind);
    if (at == std::string_view::npos) continue;
    const auto name = message.substr(at + kind.size());
    return std::string(name.begin(), std::find_if_not(name.begin(), name.end(), in_word));
  }
  return {};
}

// Takes the last word off, in small letters.
std::string last_word(std::string_view& text) {
  while (!text.empty() && !in_word(text.back())) text.remove_suffix(1);
  std::string word;
  while (!text.empty() && in_word(text.back())) {
    word.insert(word.begin(), static_cast<char>(std::tolower(static_cast<unsigned char>(text.back()))));
    text.remove_suffix(1);
  }
  return word;
}

// What stands before a table's name, without its schema.
std::string_view before_name(std::string_view text) {
  if (text.ends_with('"')) text.remove_suffix(1);
  if (!text.ends_with('.')) return text;
  text.remove_suffix(1);
  if (!text.ends_with('"')) {
    while (!text.empty() && in_word(text.back())) text.remove_suffix(1);
    return text;
  }
  text.remove_suffix(1);
  for (;;) {  // a quote in a name is doubled
    text = text.substr(0, std::min(text.rfind('"'), text.size()));
    if (!text.ends_with('"')) return text;
    text.remove_suffix(1);
  }
}

std::string right_of(std::string_view before) {
  const auto word = last_word(before);
  if (word == "into") return "insert";
  if (word == "update" || word == "truncate") return word;
  if (word == "from") return last_word(before) == "delete" ? "delete" : "select";
  return word == "join" ? "select" : "";
}

}  // namespace

std::string needed_rights(std::string_view statement, std::string_view message) {
  const auto name = refused_name(message);
  if (name.empty()) return {};
  statement = statement.substr(0, longest_statement);
  std::set<std::string> rights;
  for (auto at = statement.find(name); at != std::string_view::npos; at = statement.find(name, at + 1)) {
    const auto end = at + name.size();
    if ((end < statement.size() && in_word(statement[end])) || (at > 0 && in_word(statement[at - 1]))) continue;
    rights.insert(right_of(before_name(statement.substr(0, at))));
  }
  rights.erase("");
  if (rights.contains("select") && statement.find(" for update") != std::string_view::npos) rights.insert("update");
  std::string text;
  for (const auto& right : rights) text += (text.empty() ? "" : ", ") + right;
  return text;
}

}  // namespace deja::postgres
