#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/keys.h"
#include "postgres/connection.h"

// Who handles what: recipes of keys (K1) and the programs that registered.

namespace deja::postgres {

struct Registration {
  std::string handler, instance, strategy, build;
  std::vector<std::string> topics;
};

class RegistryStore {
 public:
  RegistryStore(const std::string& schema, std::string group);

  /// Stores the recipe when the topic has none yet. Returns the one that counts.
  core::KeyRecipe agree_on_recipe(Connection& c, const std::string& topic, const core::KeyRecipe& declared) const;
  void enter(Connection& c, const Registration& registration) const;
  /// The instance ended in order.
  void leave(Connection& c, const std::string& instance) const;
  /// Marks the instance's handlers as seen; forgets instances that were not seen for a week.
  void seen(Connection& c, const std::string& instance) const;

  struct Keys {
    std::int64_t estimated = 0, generations = 0;
  };
  Keys keys(Connection& c) const;

 private:
  std::string group_, store_, read_, enter_, leave_, seen_, forget_, keys_;
};

}  // namespace deja::postgres
