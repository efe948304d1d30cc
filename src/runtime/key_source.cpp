#include "runtime/key_source.h"

#include <algorithm>

#include <deja/errors.h>

namespace deja::runtime {
namespace {

struct Renamed {
  std::string now, before;  // now empty: the program's only handler
};

Renamed renamed(const std::string& entry) {
  const auto equals = entry.find('=');
  if (equals == std::string::npos) return {"", entry};
  return {entry.substr(0, equals), entry.substr(equals + 1)};
}

std::string previous_name(const std::string& handler, const std::vector<std::string>& entries) {
  for (const auto& entry : entries)
    if (const auto r = renamed(entry); r.now.empty() || r.now == handler) return r.before;
  return handler;
}

std::string previous_or(const std::string& previous, const std::string& now) { return previous.empty() ? now : previous == "none" ? "" : previous; }

}  // namespace

core::KeyRecipe KeySource::recipe() const {
  return {handler, scope, strategy, tenant_header.empty() ? "none" : "header " + tenant_header, core::secret_id(secret)};
}

core::KeyRecipes KeySources::recipes() const {
  core::KeyRecipes both{now.recipe()};
  if (previous && previous->recipe() != both.now) both.previous = previous->recipe();
  return both;
}

KeySources key_sources(const detail::HandlerSpec& spec, const KeySettings& settings) {
  KeySources sources;
  sources.now = {spec.name, settings.scope, settings.secret, settings.tenant_header, spec.strategy, spec.key_free, &spec.key};
  auto before = sources.now;
  before.handler = previous_name(spec.name, settings.previous.handlers);
  if (!settings.previous.scope.empty()) before.scope = settings.previous.scope;
  before.secret = previous_or(settings.previous.secret, settings.secret);
  before.tenant_header = previous_or(settings.previous.tenant_header, settings.tenant_header);
  if (spec.previous_key) {
    before.strategy = spec.previous_strategy;
    before.key_free = spec.previous_key_free;
    before.extract = &spec.previous_key;
  }
  // a key function may have changed where the words for it have not
  if (before.recipe() != sources.now.recipe() || spec.previous_key) sources.previous = std::move(before);
  return sources;
}

void check_previous_handlers(const std::vector<detail::HandlerSpec>& handlers, const KeySettings& settings) {
  const auto refuse = [](const std::string& entry, const std::string& why) {
    throw Stop(exit_code::configuration, "keys.previous.handler = \"" + entry + "\" " + why + "; write \"name=previous name\"");
  };
  for (const auto& entry : settings.previous.handlers) {
    const auto r = renamed(entry);
    if (r.before.empty()) refuse(entry, "names no previous name");
    if (r.now.empty() && handlers.size() != 1) refuse(entry, "does not say which of the program's handlers had that name");
    if (!r.now.empty() && std::none_of(handlers.begin(), handlers.end(), [&](const auto& h) { return h.name == r.now; }))
      refuse(entry, "names a handler that the program does not have (" + r.now + ")");
  }
}

}  // namespace deja::runtime
