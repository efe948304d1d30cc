#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/key_change.h"
#include "postgres/connection.h"

// Who handles what: recipes of keys (K1) and the programs that registered.

namespace deja::postgres {

struct Registration {
  core::KeyRecipe recipe;
  std::string instance, build;
  std::vector<std::string> topics;
};

class RegistryStore {
 public:
  RegistryStore(const std::string& schema, std::string group);

  struct Refusal {
    std::string topic, why;
  };
  /// Stores what core::decide says for every topic, or nothing at all when one is refused. A topic without a recipe takes the declared ones.
  std::optional<Refusal> agree_on_recipes(Connection& c, const std::map<std::string, core::KeyRecipes>& declared_by_topic,
                                          std::chrono::milliseconds window) const;
  void enter(Connection& c, const Registration& registration) const;
  /// The instance ended in order.
  void leave(Connection& c, const std::string& instance) const;
  /// Marks the instance's handlers as seen, and the previous recipe as in use while it makes keys without the current one; forgets instances that were not seen for a week.
  void seen(Connection& c, const std::string& instance) const;

  struct Keys {
    std::int64_t estimated = 0, generations = 0;
  };
  Keys keys(Connection& c) const;

 private:
  std::optional<std::string> agree(Connection& c, const std::string& topic, const core::KeyRecipes& declared, std::chrono::milliseconds window) const;
  std::string group_, store_, lock_, read_, change_, end_change_, in_use_, enter_, use_, leave_, seen_, forget_, keys_;
};

}  // namespace deja::postgres
