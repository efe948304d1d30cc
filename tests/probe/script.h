#pragma once

#include <cstdint>
#include <string>
#include <string_view>

/// What a record asks the probe to do.
struct Script {
  std::string id;
  std::int64_t seq = 0;
  std::string action;          ///< the word before the colon of `do`
  std::int64_t argument = 0;   ///< the number behind it
};

/// Throws deja::Reject for anything else than a known script.
Script parse_script(std::string_view json);
