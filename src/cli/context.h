#pragma once

#include <chrono>
#include <functional>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

#include "cli/output.h"
#include "config/config.h"
#include "kafka/admin.h"
#include "postgres/connection.h"

namespace deja::cli {

/// What was given on the command line, and what a command makes of it. One for the whole process.
struct Context {
  std::optional<std::string> config_file = {};
  std::vector<std::string> sets = {};
  std::optional<std::string> group_option = {};
  ListOptions list = {};
  std::vector<std::string> after_dashes = {};  ///< what followed `--`, for `dev`

  /// What the chosen command does; returns the exit code.
  std::function<int()> run = {};

  /// Throws ConfigError.
  config::Config load() const;
  /// --group, else the configuration's, else empty: all groups.
  std::string group(const config::Config& config) const;
};

/// The options that every command takes, those of the command's own left as they are.
void add_common_options(CLI::App& command, Context& context);
/// --output.
void add_output_option(CLI::App& command, Context& context, const std::vector<std::string>& formats = {"table", "json"});
/// --output, --limit, --count and --filter over these fields.
void add_list_options(CLI::App& command, Context& context, std::span<const Field> fields);
void add_group_option(CLI::App& command, Context& context);

/// A session for a command: read-only unless it migrates. Throws Stop.
std::unique_ptr<postgres::Connection> open_postgres(const config::Config& config, const std::string& what, bool read_only = true);

/// One for a command that changes something: the schema fits, and the login may write the audit log. Throws Stop.
std::unique_ptr<postgres::Connection> open_for_change(const config::Config& config, const std::string& what);

/// Throws ConfigError when no broker is set.
std::unique_ptr<kafka::Admin> open_kafka(const config::Config& config, const std::string& group);

void warn(const std::string& text);

// The commands, one file for each family.
void add_migrate(CLI::App& app, Context& context);
void add_doctor(CLI::App& app, Context& context);
void add_config(CLI::App& app, Context& context);
void add_handlers(CLI::App& app, Context& context);
void add_lanes(CLI::App& app, Context& context);
void add_key(CLI::App& app, Context& context);
void add_outbox(CLI::App& app, Context& context);
void add_breakers(CLI::App& app, Context& context);
void add_flood(CLI::App& app, Context& context);
void add_audit_log(CLI::App& app, Context& context);
void add_parked(CLI::App& app, Context& context);
void add_dlq(CLI::App& app, Context& context);
void add_audit(CLI::App& app, Context& context);
void add_send(CLI::App& app, Context& context);
void add_dev(CLI::App& app, Context& context);
void add_version(CLI::App& app, Context& context);

}  // namespace deja::cli
