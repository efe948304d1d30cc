#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include <deja/record.h>

namespace deja::core {

/// A strategy as the database has it in words (see describe() in deja/idempotency.h), made runnable again.
struct ReadStrategy {
  bool key_free = false;
  std::function<std::optional<std::string>(const Record&)> key;  ///< empty: key-free, or only the program can compute it
};

ReadStrategy read_strategy(std::string_view words);

}  // namespace deja::core
