#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "postgres/connection.h"

// The facts about a server and a schema that `deja doctor` judges. Threading and errors as in postgres/admin.h.

namespace deja::postgres {

struct ServerFacts {
  std::string version;  ///< "15.6"
  int version_number = 0;
  std::string role, database;
  bool standby = false;
  bool read_only = false;  ///< default_transaction_read_only
  std::string synchronous_commit, fsync, full_page_writes, isolation;
  std::string wal_compression;
  std::int64_t max_connections = 0, reserved_connections = 0, used_connections = 0;
  bool role_schema_exists = false;  ///< a schema of the role's own name, which comes first in its search path
};

ServerFacts server_facts(Connection& connection);

/// Rights the role lacks, as in "insert on deja.lanes"; tables that are not there are named too.
std::vector<std::string> missing_rights(Connection& connection, const std::string& schema);

/// The trigger that refuses a handler's own COMMIT is there, deferred and enabled.
bool commit_guard_present(Connection& connection, const std::string& schema);

/// True when each statement may reach another server session (a transaction pooler in between).
bool behind_transaction_pooler(Connection& connection);

/// The oldest prepared transactions of this database, their names quoted, empty when there is none. Their locks outlive any session.
std::string prepared_transactions(Connection& connection);

/// Topics of events that are not yet published, without those of lanes of other groups when `group` is not empty.
std::vector<std::string> waiting_event_topics(Connection& connection, const std::string& schema, const std::string& group);

/// "15.6" of the connected server.
std::string server_version_text(Connection& connection);

/// libpqxx, as this binary was built.
std::string library_version();

}  // namespace deja::postgres
