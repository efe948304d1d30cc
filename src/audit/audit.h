#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "audit/key_reader.h"
#include "audit/report.h"
#include "config/config.h"

namespace deja::audit {

struct Options {
  std::string group;                        ///< empty: all that have lanes
  std::vector<std::string> topics = {};     ///< empty: all
  std::optional<std::int64_t> from = {}, to = {};  ///< offsets of the records; `to` is not included
  std::size_t named = 20;                   ///< findings to name, of each kind and partition
};

/// How the keys of a group's topic are made. See key_reader.h.
using MakeKeySources = std::function<KeySources(const core::KeyRecipes&)>;
/// Those that the configuration has.
std::vector<std::string> secrets(const config::Config& config);

/// Reads logs and event topics again, up to where each lane was when it began, and compares them with the database. Locks nothing,
/// joins no group, writes nothing; groups may go on running. Throws Stop with the named cause.
Report run(const config::Config& config, const Options& options, const MakeKeySources& keys);

/// Runs the audit and prints what it found: the report to stdout, one sentence to stderr. Returns the exit code.
int run_and_print(const config::Config& config, const Options& options, const MakeKeySources& keys, bool json);

}  // namespace deja::audit
