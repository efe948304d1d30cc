#pragma once

#include <string>

namespace deja::config {

/// The page docs/configuration.md, made from the option table: `deja config --defaults --output markdown` prints it.
std::string configuration_reference();

}  // namespace deja::config
