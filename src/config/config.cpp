#include "config/config.h"

#include <cstdlib>
#include <stdexcept>

#include "config/mask.h"
#include "config/options.h"

namespace deja::config {

std::string_view origin_name(Origin origin) {
  switch (origin) {
    case Origin::by_default: return "default";
    case Origin::file: return "file";
    case Origin::environment: return "environment";
    case Origin::set: return "set";
  }
  return "default";
}

std::optional<std::string> process_environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (!value) return std::nullopt;
  return value;
}

const Setting& Config::setting(std::string_view key) const {
  const auto found = options_.find(key);
  if (found == options_.end()) throw std::logic_error("no such option: " + std::string(key));
  return found->second;
}

template <typename T>
const T& Config::typed(std::string_view key) const {
  const auto* value = std::get_if<T>(&setting(key).value);
  if (!value) throw std::logic_error("option " + std::string(key) + " was asked for as another type");
  return *value;
}

const std::string& Config::text(std::string_view key) const { return typed<std::string>(key); }
std::int64_t Config::integer(std::string_view key) const { return typed<std::int64_t>(key); }
double Config::ratio(std::string_view key) const { return typed<double>(key); }
bool Config::flag(std::string_view key) const { return typed<bool>(key); }
const std::vector<std::string>& Config::list(std::string_view key) const { return typed<std::vector<std::string>>(key); }

std::chrono::milliseconds Config::duration(std::string_view key) const {
  const auto* option = find_option(key);
  if (option && option->type != Type::duration) throw std::logic_error("option " + std::string(key) + " is no duration");
  return std::chrono::milliseconds(typed<std::int64_t>(key));
}

const std::string& Config::group_id() const {
  const auto& group = text("group.id");
  return group.empty() ? application_name_ : group;
}

const std::string& Config::dedup_scope() const {
  const auto& scope = text("dedup.scope");
  return scope.empty() ? group_id() : scope;
}

const std::string& Config::require(std::string_view key) const {
  const auto& value = key == "group.id" ? group_id() : key == "dedup.scope" ? dedup_scope() : text(key);
  if (!value.empty()) return value;
  const auto variable = find_option(key)->environment;
  const std::string name(key);
  throw ConfigError(exit_code::configuration,
                    name + " is not set: set it in the configuration file, with --set " + name + "=..." +
                        (variable.empty() ? "" : ", or in the environment variable " + std::string(variable)));
}

std::string Config::place(std::string_view key) const {
  if (const auto found = options_.find(key); found != options_.end()) return found->second.place;
  if (const auto found = kafka_.find(key); found != kafka_.end()) return found->second.place;
  if (key.starts_with("app.")) {
    if (const auto found = app_.find(std::string(key.substr(4))); found != app_.end()) return found->second.place;
  }
  return "default";
}

std::vector<std::pair<std::string, std::string>> Config::kafka(Role role) const {
  constexpr std::string_view all = "kafka.";
  const std::string_view own = role == Role::consumer   ? "kafka.consumer."
                               : role == Role::producer ? "kafka.producer."
                                                        : std::string_view{};
  const auto is_common = [](std::string_view key) {
    return !key.starts_with("kafka.consumer.") && !key.starts_with("kafka.producer.");
  };
  const auto given = [&](const std::string& name) {
    return kafka_.contains("kafka." + name) || (!own.empty() && kafka_.contains(std::string(own) + name));
  };
  std::vector<std::pair<std::string, std::string>> settings;
  if (const auto& brokers = text("kafka.bootstrap.servers"); !brokers.empty()) {
    settings.emplace_back("bootstrap.servers", brokers);
  }
  if (!application_name_.empty() && !given("client.id")) settings.emplace_back("client.id", application_name_);
  if (role == Role::consumer && !given("isolation.level")) settings.emplace_back("isolation.level", "read_committed");
  for (const auto& [key, setting] : kafka_) {
    const auto name = key.substr(all.size());
    if (is_common(key) && (own.empty() || !kafka_.contains(std::string(own) + name))) {
      settings.emplace_back(name, to_text(setting.value));
    }
  }
  if (own.empty()) return settings;
  for (const auto& [key, setting] : kafka_) {
    if (key.starts_with(own)) settings.emplace_back(key.substr(own.size()), to_text(setting.value));
  }
  return settings;
}

std::vector<Entry> Config::default_entries() {
  std::vector<Entry> entries;
  for (const auto& option : options()) {
    const auto value = accept_text(option, option.default_text);
    entries.push_back({.key = std::string(option.key),
                       .value = value ? to_text(*value) : std::string(option.default_text),
                       .origin = "default",
                       .type = std::string(type_name(option.type)),
                       .range = range_text(option),
                       .unit = std::string(option.unit),
                       .place = "default",
                       .description = std::string(option.description)});
  }
  return entries;
}

std::vector<Entry> Config::entries(bool only_defaults) const {
  auto entries = default_entries();
  if (only_defaults) return entries;
  for (auto& entry : entries) {
    const auto& current = setting(entry.key);
    const auto value = entry.key == "group.id"      ? group_id()
                       : entry.key == "dedup.scope" ? dedup_scope()
                                                    : to_text(current.value);
    entry.value = masked(entry.key, value);
    entry.origin = origin_name(current.origin);
    entry.place = current.place;
  }
  const auto add = [&entries](const std::string& key, const Setting& given, std::string_view type, std::string_view description) {
    entries.push_back({.key = key,
                       .value = masked(key, to_text(given.value)),
                       .origin = std::string(origin_name(given.origin)),
                       .type = std::string(type),
                       .range = {},
                       .unit = {},
                       .place = given.place,
                       .description = std::string(description)});
  };
  for (const auto& [key, given] : kafka_) add(key, given, "librdkafka", "Passed to librdkafka.");
  for (const auto& [name, given] : app_) {
    constexpr std::string_view types[] = {"string", "integer", "number", "boolean", "list"};
    add("app." + name, given, types[given.value.index()], "The program's own.");
  }
  return entries;
}

}  // namespace deja::config
