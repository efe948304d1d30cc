#include "postgres/migrations.h"

#include <charconv>
#include <stdexcept>

#include <deja/errors.h>

#include "postgres/errors.h"
#include "postgres/sql.h"

namespace deja::postgres {
namespace {

struct EmbeddedFile {
  std::string_view name;
  std::string_view sql;
};

constexpr EmbeddedFile embedded[] = {
#include "embedded_schemas.inc"
};

std::string quoted(std::string_view schema) { return "\"" + std::string(schema) + "\""; }

Stop not_ours(std::string_view schema) {
  return Stop(exit_code::configuration, "the schema " + quoted(schema) + " exists and is not deja's (it has no table schema_version of deja's form): choose another with postgres.schema (--set postgres.schema=NAME, then deja migrate), or give that one another name (ALTER SCHEMA " + quoted(schema) + " RENAME TO ...)");
}

Stop too_new(std::string_view schema, const SchemaState& state) {
  return Stop(exit_code::configuration, "the schema " + quoted(schema) + " has version " + std::to_string(state.version) +
                                            " and serves programs built for version " + std::to_string(state.oldest_binary) +
                                            " or later; this one was built for " + std::to_string(schema_version()) + ": use a newer build (what this one was built for: deja version), or another schema (postgres.schema)");
}

bool exists(Connection& connection, const std::string& sql, std::string_view schema) {
  return !connection.exec_params(sql, {std::string(schema)}).empty();
}

bool schema_exists(Connection& connection, std::string_view schema) {
  return exists(connection, "select 1 from pg_catalog.pg_namespace where nspname = $1", schema);
}

bool has_version_table(Connection& connection, std::string_view schema) {
  return exists(connection,
                "select 1 from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace "
                "where n.nspname = $1 and c.relname = 'schema_version' and c.relkind = 'r' and 3 = (select count(*) from "
                "pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attname in ('version', 'name', 'oldest_binary'))",
                schema);
}

// An administrator may have made the schema for a role that may not make one itself.
bool schema_is_empty(Connection& connection, std::string_view schema) {
  return !exists(connection,
                 "select 1 from pg_catalog.pg_namespace n where n.nspname = $1 and ("
                 "exists (select 1 from pg_catalog.pg_class c where c.relnamespace = n.oid) or "
                 "exists (select 1 from pg_catalog.pg_proc p where p.pronamespace = n.oid))",
                 schema);
}

std::optional<SchemaState> read_version(Connection& connection, std::string_view schema) {
  if (!has_version_table(connection, schema)) {
    if (schema_is_empty(connection, schema)) return std::nullopt;
    throw not_ours(schema);
  }
  const auto rows = connection.exec(with_schema("select version, oldest_binary from {schema}.schema_version order by version desc limit 1", schema));
  if (rows.empty()) return SchemaState{};
  return SchemaState{rows[0][0].as<int>(), rows[0][1].as<int>()};
}

// Errors of the statements in `work` become a Stop that says what is missing.
template <class Work>
auto explained(Connection& connection, std::string_view schema, Work work) {
  try {
    return work();
  } catch (const Stop&) {
    throw;
  } catch (const std::exception& error) {
    const auto failure = classify(error, !connection.broken());
    if (failure.kind == Failure::no_permission) {
      throw Stop(exit_code::no_permission, failure.message + ": the role needs its rights on the schema " + quoted(schema));
    }
    throw stop_for(failure, true);
  }
}

void create_schema(Connection& connection, std::string_view schema) {
  try {
    connection.exec(with_schema("create schema {schema}", schema));
  } catch (const std::exception& error) {
    const auto failure = classify(error, !connection.broken());
    if (failure.kind != Failure::no_permission) throw;
    throw Stop(exit_code::no_permission, "the schema " + quoted(schema) + " is not there and this role may not make it (" + failure.message +
                                             "): run `deja migrate` as the database's owner, or let it run \"create schema " + std::string(schema) +
                                             " authorization <role>\"");
  }
}

void apply(Connection& connection, std::string_view schema, const Migration& migration) {
  connection.exec(with_schema(migration.sql, schema));
  connection.exec_params(with_schema("insert into {schema}.schema_version (version, name, oldest_binary) values ($1, $2, $3)", schema),
                         {std::to_string(migration.version), std::string(migration.name), std::to_string(migration.oldest_binary)});
}

MigrationResult migrate_in_transaction(Connection& connection, std::string_view schema, bool dry_run) {
  // Lock first, read in a further statement: a snapshot older than the lock would miss what another one has just applied.
  if (!dry_run) connection.exec_params("select pg_advisory_xact_lock(hashtextextended('deja migrate ' || $1, 0))", {std::string(schema)});
  const auto state = read_version(connection, schema);
  MigrationResult result;
  result.version_before = result.version_after = state ? state->version : 0;
  if (state && state->oldest_binary > schema_version()) throw too_new(schema, *state);
  if (!schema_exists(connection, schema)) {
    result.sql.push_back(with_schema("create schema {schema};\n", schema));
    if (!dry_run) create_schema(connection, schema);
  }
  for (const auto& migration : migrations()) {
    if (migration.version <= result.version_before) continue;
    result.sql.push_back(with_schema(migration.sql, schema));
    result.applied.emplace_back(migration.name);
    result.version_after = migration.version;
    if (!dry_run) apply(connection, schema, migration);
  }
  return result;
}

}  // namespace

int version_of_name(std::string_view name) {
  int version = 0;
  const auto end = std::from_chars(name.data(), name.data() + name.size(), version).ptr;
  if (end == name.data() || version <= 0) throw std::logic_error("a migration's name must begin with its number: " + std::string(name));
  return version;
}

int oldest_binary_of(std::string_view sql, int version) {
  constexpr std::string_view mark = "-- oldest binary: ";
  const auto at = sql.find(mark);
  if (at == std::string_view::npos) return version;
  const auto number = sql.substr(at + mark.size());
  int oldest = version;
  std::from_chars(number.data(), number.data() + number.size(), oldest);
  return oldest;
}

std::span<const Migration> migrations() {
  static const auto all = [] {
    std::vector<Migration> list;
    for (const auto& file : embedded) {
      const int version = version_of_name(file.name);
      if (version != static_cast<int>(list.size()) + 1) throw std::logic_error("migrations are not numbered without gaps: " + std::string(file.name));
      list.push_back({version, file.name, oldest_binary_of(file.sql, version), file.sql});
    }
    return list;
  }();
  return all;
}

int schema_version() { return static_cast<int>(std::size(embedded)); }

std::optional<SchemaState> current_version(Connection& connection, std::string_view schema) {
  return explained(connection, schema, [&] { return read_version(connection, schema); });
}

MigrationResult migrate(Connection& connection, std::string_view schema, bool dry_run) {
  return explained(connection, schema, [&] {
    connection.exec(dry_run ? "begin isolation level read committed read only" : "begin isolation level read committed read write");
    try {
      auto result = migrate_in_transaction(connection, schema, dry_run);
      connection.exec(dry_run ? "rollback" : "commit");
      return result;
    } catch (...) {
      try {
        if (!connection.broken()) connection.exec("rollback");
      } catch (const std::exception&) {  // the first error is the one to tell
      }
      throw;
    }
  });
}

void check_schema(Connection& connection, std::string_view schema) {
  const auto state = current_version(connection, schema);
  const auto ours = schema_version();
  if (!state || state->version == 0) {
    throw Stop(exit_code::configuration, "deja's schema " + quoted(schema) + " is missing in this database: run `deja migrate`");
  }
  if (state->version < ours) {
    throw Stop(exit_code::configuration, "deja's schema " + quoted(schema) + " has version " + std::to_string(state->version) +
                                             " and this program needs " + std::to_string(ours) + ": run `deja migrate`");
  }
  if (state->oldest_binary > ours) throw too_new(schema, *state);
}

}  // namespace deja::postgres
