#include "config/loader.h"

#include <algorithm>

#include "config/kafka_keys.h"
#include "config/mask.h"
#include "config/options.h"

namespace deja::config {
namespace {

constexpr std::size_t most_problems = 50;
constexpr std::size_t longest_problem = 1'000;

std::string shown(const std::string& key, const std::optional<Value>& value, const std::optional<std::string>& untyped) {
  if (untyped) return quoted_for_message(key, *untyped);
  if (!value) return {};
  const auto text = quoted_for_message(key, to_text(*value));
  // Only what was written in quotes is shown in quotes.
  return std::holds_alternative<std::string>(*value) ? text : text.substr(1, text.size() - 2);
}

bool is_quoted(std::string_view text) {
  return text.size() >= 2 && text.front() == text.back() && (text.front() == '"' || text.front() == '\'');
}

// A quoted word or a list after --set is meant as TOML, whatever the type of the key.
std::optional<Value> quoted_or_list(std::string_view text) {
  return is_quoted(text) || text.starts_with('[') ? read_toml_value(text) : std::nullopt;
}

std::string join(const std::vector<std::string>& items) {
  std::string text;
  for (const auto& item : items) {
    if (!text.empty()) text += ',';
    text += item;
  }
  return text;
}

}  // namespace

Loader::Loader(const LoadArguments& arguments) : arguments_(arguments) {
  config_.application_name_ = arguments.application_name;
}

Config Loader::run() {
  refuse_malformed_sets();
  take_defaults();
  take_environment();
  take_file();
  take_sets();
  check_not_below("retry.backoff.max.ms", "retry.backoff.base.ms");
  check_not_below("retry.deadline.ms", "retry.backoff.base.ms");
  check_not_below("dedup.window.ms", "retry.deadline.ms");  // a key must be remembered for as long as its record may come again
  check_not_below("park.max.records", "park.key.max.records");
  if (problems_.empty()) return std::move(config_);
  if (unlisted_problems_ > 0) {
    problems_.insert(problems_.begin(), std::to_string(unlisted_problems_) + " more problems are not listed");
  }
  std::string message;
  for (const auto& line : problems_) message += (message.empty() ? "" : "\n") + line;
  throw ConfigError(exit_code::configuration, message);
}

void Loader::take_defaults() {
  for (const auto& option : options()) {
    const auto value = accept_text(option, option.default_text);
    if (!value) throw std::logic_error("the default of " + std::string(option.key) + " is not valid");
    config_.options_[std::string(option.key)] = {.value = *value};
  }
}

void Loader::take_environment() {
  for (const auto& option : options()) {
    if (option.environment.empty()) continue;
    const std::string name(option.environment);
    const auto text = variable(name);
    if (!text) continue;
    if (const auto value = accept_text(option, *text)) {
      config_.options_[std::string(option.key)] = {.value = *value, .origin = Origin::environment, .place = "$" + name};
    } else {
      problem("$" + name, std::string(option.key) + " = " + quoted_for_message(option.key, *text) + " is wrong; it takes " +
                              expectation(option));
    }
  }
}

void Loader::take_leaf(const std::string& path, TomlLeaf leaf) {
  const auto place = path + ":" + std::to_string(leaf.line);
  const auto below = [&leaf](std::string_view name) { return (leaf.key + ".").starts_with(name); };
  const bool passes_through = below("kafka.") || below("app.");
  if (leaf.empty_table && (passes_through || is_option_prefix(leaf.key))) return;
  if (!seen_in_file_.insert(leaf.key).second) {
    problem(place, leaf.key + " is set twice in this file, once with a quoted name; keep one");
    return;
  }
  take({std::move(leaf.key), std::move(leaf.value), std::move(leaf.odd), std::nullopt, Origin::file, place});
}

void Loader::take_sets() {
  for (const auto& text : arguments_.sets) {
    const auto equals = text.find('=');
    const auto key = split(text.substr(0, equals), '\0').front();
    take({key, std::nullopt, {}, text.substr(equals + 1), Origin::set, "--set"});
  }
}

void Loader::take(Given given) {
  if (!expand_strings(given)) return;
  if (const auto* option = find_option(given.key)) {
    take_option(*option, std::move(given));
  } else if (given.key.starts_with("kafka.")) {
    take_kafka(std::move(given));
  } else if (given.key.starts_with("app.")) {
    take_app(std::move(given));
  } else {
    refuse_unknown(given);
  }
}

void Loader::take_option(const Option& option, Given given) {
  std::optional<Value> value;
  if (given.value) value = accept(option, *given.value);
  if (!value && given.untyped) {
    const auto typed = quoted_or_list(*given.untyped);
    value = typed ? accept(option, *typed) : accept_text(option, *given.untyped);
  }
  if (!value) {
    const auto text = shown(given.key, given.value, given.untyped);
    problem(given.place, given.key + (text.empty() ? " is " + given.odd : " = " + text + " is wrong") + "; it takes " +
                             expectation(option));
    return;
  }
  config_.options_[given.key] = {.value = *value, .origin = given.origin, .place = given.place};
}

void Loader::take_kafka(Given given) {
  std::string_view name = std::string_view(given.key).substr(6);
  const bool for_one_role = name.starts_with("consumer.") || name.starts_with("producer.");
  if (for_one_role) name.remove_prefix(9);
  if (const auto reason = kafka_refusal(name, for_one_role); !reason.empty()) {
    const auto text = shown(given.key, given.value, given.untyped);
    problem(given.place, given.key + (text.empty() ? "" : " = " + text) + " is refused: " + std::string(reason));
    return;
  }
  if (!given.value && given.untyped) {
    // librdkafka takes text, so a number stays as it was typed.
    given.value = quoted_or_list(*given.untyped);
    if (!given.value) given.value = *given.untyped;
  }
  std::string text;
  if (given.value) {
    const auto* list = std::get_if<std::vector<std::string>>(&*given.value);
    text = list ? join(*list) : to_text(*given.value);
  }
  if (name.empty() || !given.value || text.find('\0') != std::string::npos) {
    problem(given.place, given.key + (given.value ? "" : " is " + given.odd) +
                             " cannot be passed to librdkafka; it takes a name and a string without NUL, a number, a flag or a list of strings");
    return;
  }
  config_.kafka_[given.key] = {.value = text, .origin = given.origin, .place = given.place};
}

void Loader::take_app(Given given) {
  const auto name = given.key.substr(4);
  if (!given.value && given.untyped) {
    given.value = read_toml_value(*given.untyped);
    if (!given.value) given.value = *given.untyped;
  }
  if (!given.value || name.empty()) {
    problem(given.place, given.key + " is " + (given.value ? "a key without a name" : given.odd) +
                             "; it takes a string, a number, true, false or a list of strings");
    return;
  }
  config_.app_[name] = {.value = *given.value, .origin = given.origin, .place = given.place, .untyped = std::move(given.untyped)};
}

bool Loader::expand_strings(Given& given) {
  bool used = false;
  const auto replace = [&](std::string& text) {
    auto expansion = expand(text, arguments_.environment);
    if (!expansion.problem.empty()) {
      problem(given.place, given.key + " = " + quoted_for_message(given.key, text) + " " + expansion.problem);
      return false;
    }
    text = std::move(expansion.text);
    used = used || expansion.used_environment;
    return true;
  };
  if (given.untyped) return replace(*given.untyped);
  if (!given.value) return true;
  if (auto* list = std::get_if<std::vector<std::string>>(&*given.value)) return std::ranges::all_of(*list, replace);
  auto* text = std::get_if<std::string>(&*given.value);
  if (!text) return true;
  if (!replace(*text)) return false;
  // `${NAME}` works inside quotes only, so a number from the environment arrives as a string.
  if (used) given.untyped = *text;
  return true;
}

void Loader::refuse_unknown(const Given& given) {
  if (problems_.size() >= most_problems) {
    ++unlisted_problems_;
    return;
  }
  const auto text = shown(given.key, given.value, given.untyped);
  auto meant = find_option("kafka." + given.key) ? "kafka." + given.key : nearest_option(given.key);
  problem(given.place, quoted_for_message("", given.key) + (text.empty() ? "" : " = " + text) + " is no known key; " +
                           (meant.empty() ? "settings of librdkafka go below kafka. and the program's own below app."
                                          : "did you mean " + meant + "?"));
}

void Loader::check_not_below(std::string_view key, std::string_view floor) {
  const auto value = config_.integer(key);
  const auto least = config_.integer(floor);
  if (value >= least) return;
  const std::string name(key);
  const std::string other(floor);
  problem(config_.place(key), name + " = " + std::to_string(value) + " contradicts " + other + " = " + std::to_string(least) + " (" +
                                  config_.place(floor) + "): " + name + " must not be below " + other);
}

void Loader::problem(const std::string& place, const std::string& text) {
  if (problems_.size() >= most_problems) {
    ++unlisted_problems_;
    return;
  }
  // Keys are the file's too: one may hold a line break, or be as long as the file.
  auto line = place + ": " + text;
  if (line.size() > longest_problem) line = line.substr(0, longest_problem) + "...";
  std::ranges::replace_if(line, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  problems_.push_back(std::move(line));
}

std::optional<std::string> Loader::variable(const std::string& name) const {
  auto value = arguments_.environment ? arguments_.environment(name) : std::nullopt;
  if (value && value->empty()) value.reset();
  return value;
}

}  // namespace deja::config
