#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <deja/handler.h>

#include "core/key_change.h"

// What the configuration and a handler say about keys, brought together: the recipe in use and, while keys.previous is set, the one
// before it.

namespace deja::runtime {

/// keys.previous.*, as configured. Empty: as it is now.
struct PreviousKeySettings {
  std::string scope, secret, tenant_header;  // of the last two "none" says that there was none
  std::vector<std::string> handlers;         // "name=previous name", or a previous name alone when the program has one handler
};

struct KeySettings {
  std::string scope, secret, tenant_header;
  PreviousKeySettings previous = {};
};

/// How one handler's keys are made. `extract` belongs to the handler's spec.
struct KeySource {
  std::string handler, scope, secret, tenant_header, strategy;
  bool key_free = false;
  const std::function<std::optional<std::string>(const Record&)>* extract = nullptr;

  core::KeyRecipe recipe() const;
};

struct KeySources {
  KeySource now;
  std::optional<KeySource> previous;

  core::KeyRecipes recipes() const;
};

/// `spec` must outlive the result.
KeySources key_sources(const detail::HandlerSpec& spec, const KeySettings& settings);

/// Throws Stop (78) for entries of keys.previous.handler that are of no use.
void check_previous_handlers(const std::vector<detail::HandlerSpec>& handlers, const KeySettings& settings);

}  // namespace deja::runtime
