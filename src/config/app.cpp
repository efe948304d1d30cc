#include <algorithm>

#include "config/config.h"
#include "config/mask.h"
#include "config/options.h"

namespace deja::config {

const Setting* Config::app_setting(const std::string& name) const {
  const auto found = app_.find(name);
  return found == app_.end() ? nullptr : &found->second;
}

void Config::refuse_app(const std::string& name, const Setting& setting, std::string_view right) const {
  const auto key = "app." + name;
  throw ConfigError(exit_code::configuration, setting.place + ": " + key + " = " +
                                                  quoted_for_message(key, setting.untyped.value_or(to_text(setting.value))) +
                                                  " is " + std::string(kind_of(setting.value)) + "; it takes " +
                                                  std::string(right));
}

std::string Config::app_text(const std::string& name, const std::string& otherwise) const {
  const auto* given = app_setting(name);
  if (!given) return otherwise;
  if (const auto* text = std::get_if<std::string>(&given->value)) return *text;
  // `--set app.name=17` looks like a number and may well be a name.
  if (given->untyped && !std::holds_alternative<std::vector<std::string>>(given->value)) return *given->untyped;
  refuse_app(name, *given, "a string");
}

std::int64_t Config::app_integer(const std::string& name, std::int64_t otherwise) const {
  const auto* given = app_setting(name);
  if (!given) return otherwise;
  if (const auto* number = std::get_if<std::int64_t>(&given->value)) return *number;
  if (given->untyped) {
    if (const auto number = parse_integer(*given->untyped)) return *number;
  }
  refuse_app(name, *given, "a whole number");
}

bool Config::app_flag(const std::string& name, bool otherwise) const {
  const auto* given = app_setting(name);
  if (!given) return otherwise;
  if (const auto* flag = std::get_if<bool>(&given->value)) return *flag;
  if (given->untyped) {
    if (const auto flag = parse_flag(*given->untyped)) return *flag;
  }
  refuse_app(name, *given, "true or false");
}

std::vector<std::string> Config::app_list(const std::string& name, const std::vector<std::string>& otherwise) const {
  const auto* given = app_setting(name);
  if (!given) return otherwise;
  if (const auto* list = std::get_if<std::vector<std::string>>(&given->value)) return *list;
  if (given->untyped) return split(*given->untyped, ',');
  refuse_app(name, *given, "a list of strings");
}

void Config::refuse_unknown_app_keys(std::span<const std::string_view> known) const {
  std::string problems;
  for (const auto& [name, given] : app_) {
    if (std::ranges::find(known, name) != known.end()) continue;
    const auto meant = nearest(name, known);
    if (!problems.empty()) problems += '\n';
    problems += given.place + ": app." + name + " = " + quoted_for_message("app." + name, to_text(given.value)) +
                " is no setting of this program" + (meant.empty() ? "" : "; did you mean app." + meant + "?");
  }
  if (!problems.empty()) throw ConfigError(exit_code::configuration, problems);
}

}  // namespace deja::config
