#pragma once

#include <exception>
#include <string>

#include <deja/errors.h>

// The one translation of database errors into what to do about them. Nothing beyond src/postgres looks at an SQLSTATE's class
// or at libpqxx's exception types.

namespace deja::postgres {

enum class Failure {
  lost_connection,  ///< the link is gone; what was sent last may or may not have happened. A new connection is needed
  unavailable,      ///< the server answers and cannot serve now: starting, too many connections, disk or memory full
  repeat,           ///< deadlock, serialization failure, lock not to be had: run the whole transaction again
  standby,          ///< read-only: a standby, or a transaction block that was lost (25006)
  login_refused,
  no_permission,    ///< a grant is missing
  no_database,
  schema_mismatch,  ///< a table, column, function or schema is not there
  own_timeout,      ///< statement timeout or cancel (57014), idle in transaction for too long (25P03: the session is gone)
  data,             ///< the statement or its values are wrong; the same again would fail again
  configuration,    ///< the URL itself is wrong
};

struct SqlFailure {
  Failure kind = Failure::data;
  std::string sqlstate;  ///< empty when the server gave none
  std::string message;   ///< one line, without detail or context lines (they quote rows)
};

/// `link_is_open`: the connection says it is still open. Only then an error without SQLSTATE is not taken for a lost link.
SqlFailure classify(const std::exception& error, bool link_is_open = false);

/// What an SQLSTATE means.
Failure failure_of(const std::string& sqlstate);

/// The stop for a failure that nothing will be tried again about. `connected`: the server had been reached before.
Stop stop_for(const SqlFailure& failure, bool connected);

}  // namespace deja::postgres
