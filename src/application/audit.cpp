#include "audit/audit.h"

#include <algorithm>

#include <deja/errors.h>

#include "application/runtime_impl.h"

namespace deja {

int Runtime::Impl::audit(const AuditOptions& given) const {
  audit::Options options;
  options.group = config_->require("group.id");
  options.from = given.from;
  options.to = given.to;
  for (const auto& handler : handlers_)
    for (const auto& topic : handler.topics)
      if (!given.topic || *given.topic == topic) options.topics.push_back(topic);
  if (options.topics.empty()) throw Stop(exit_code::wrong_data, "no handler of this program has topic " + given.topic.value_or("(none at all)"));
  const auto secrets = audit::secrets(*config_);
  return audit::run_and_print(*config_, options, [&](const core::KeyRecipes& recipes) {
    // A group has one handler for a topic, and the recipe names it.
    const auto own = std::find_if(handlers_.begin(), handlers_.end(), [&](const auto& handler) { return handler.name == recipes.now.handler; });
    return own == handlers_.end() ? audit::key_sources(recipes, secrets) : audit::key_sources(recipes, secrets, *own);
  }, given.output == "json");
}

}  // namespace deja
