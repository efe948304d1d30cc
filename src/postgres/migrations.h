#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "postgres/connection.h"

// deja's own schema: numbered SQL files (schemas/), embedded in the binary, applied by `deja migrate` alone.

namespace deja::postgres {

struct Migration {
  int version = 0;
  std::string_view name;  ///< the file's name
  int oldest_binary = 0;  ///< the oldest schema a program may have been built for to go on working on this one
  std::string_view sql;   ///< with {schema} in it
};

/// All embedded migrations, oldest first.
std::span<const Migration> migrations();

/// The schema this binary was built for: the last embedded migration.
int schema_version();

struct SchemaState {
  int version = 0;
  int oldest_binary = 0;
};

/// What the database has; nothing when deja's schema is not there. Throws Stop (77, 78) when it may not be read or is not deja's.
std::optional<SchemaState> current_version(Connection& connection, std::string_view schema);

struct MigrationResult {
  int version_before = 0;
  int version_after = 0;
  std::vector<std::string> applied;  ///< names of files
  std::vector<std::string> sql;      ///< what ran, or would run with dry_run
};

/// Brings the schema up to date in one transaction. Repeatable; several at once wait for each other. With `dry_run` nothing changes.
/// Throws Stop: 77 when a right is missing, 78 when the schema belongs to someone else or is too new for this binary.
MigrationResult migrate(Connection& connection, std::string_view schema, bool dry_run);

/// Throws Stop (78), naming `deja migrate`, unless this binary can work on the database's schema.
void check_schema(Connection& connection, std::string_view schema);

/// "0001_foundation.sql" -> 1. Throws std::logic_error for a name without a number.
int version_of_name(std::string_view name);
/// The number in a line `-- oldest binary: N`, else `version`.
int oldest_binary_of(std::string_view sql, int version);

}  // namespace deja::postgres
