#include "script.h"

#include <deja/errors.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

namespace {

using nlohmann::json;

struct Action {
  std::string_view word;
  bool may_have_number;
  bool must_have_number;
};

constexpr Action actions[] = {
    {"ok", false, false},         {"throw", true, false},    {"reject", false, false},    {"unavailable", false, false},
    {"sleep", true, true},        {"hang", false, false},    {"abort", false, false},     {"segv", false, false},
    {"exit", false, false},       {"sql-error", false, false}, {"swallow-sql-error", false, false}, {"commit", false, false},
    {"emit", true, true},         {"emit-big", true, true},  {"slow-sql", true, true},
};
constexpr std::int64_t max_argument = 1'000'000'000;

void parse_action(const std::string& text, Script& script) {
  const auto colon = text.find(':');
  script.action = text.substr(0, colon);
  const auto* known = std::ranges::find(actions, script.action, &Action::word);
  if (known == std::end(actions)) throw deja::Reject("do is not a known action");
  if (colon == std::string::npos) {
    if (known->must_have_number) throw deja::Reject("do lacks its number");
    script.argument = -1;
    return;
  }
  const char* const begin = text.data() + colon + 1;
  const char* const end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(begin, end, script.argument);
  if (!known->may_have_number || error != std::errc() || stopped != end || script.argument < 0 || script.argument > max_argument)
    throw deja::Reject("do has a wrong number");
}

}  // namespace

Script parse_script(std::string_view text) {
  const auto shallow = [](int depth, json::parse_event_t, json&) {
    if (depth > 8) throw deja::Reject("the value is nested too deeply");
    return true;
  };
  const json object = json::parse(text, shallow, /*allow_exceptions=*/false);
  // The parser would take a NUL for the end of the text.
  if (!object.is_object() || text.find('\0') != std::string_view::npos) throw deja::Reject("the value is not a JSON object");

  Script script;
  const auto id = object.find("id");
  if (id == object.end() || !id->is_string()) throw deja::Reject("id is not a text");
  script.id = id->get<std::string>();
  if (script.id.find('\0') != std::string::npos) throw deja::Reject("id has a NUL character");
  const auto seq = object.find("seq");
  if (seq == object.end() || !seq->is_number_integer() || (seq->is_number_unsigned() && seq->get<std::uint64_t>() > INT64_MAX))
    throw deja::Reject("seq is not a whole number");
  script.seq = seq->get<std::int64_t>();
  const auto action = object.find("do");
  if (action != object.end() && !action->is_string()) throw deja::Reject("do is not a text");
  parse_action(action == object.end() ? "ok" : action->get<std::string>(), script);
  return script;
}
