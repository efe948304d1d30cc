#pragma once

#include <string>

#include "postgres/connection.h"

namespace deja::postgres {

/// One record's work within a batch, which can be taken back alone. Not nested.
inline void set_savepoint(Connection& c) { c.exec("SAVEPOINT deja_record"); }

inline void roll_back_to_savepoint(Connection& c) { c.exec("ROLLBACK TO SAVEPOINT deja_record; RELEASE SAVEPOINT deja_record"); }

/// Keeps the work since the savepoint. `deferred_constraints` (see constraints.h) are looked at now, so that a violation that would
/// show only at COMMIT finds its record, and wait for the COMMIT again afterwards (B5).
inline void keep_savepoint(Connection& c, const std::string& deferred_constraints) {
  if (!deferred_constraints.empty())
    c.exec("SET CONSTRAINTS " + deferred_constraints + " IMMEDIATE; SET CONSTRAINTS " + deferred_constraints + " DEFERRED");
  c.exec("RELEASE SAVEPOINT deja_record");
}

/// Tells the server that the session is not idle.
inline void touch(Connection& c) { c.exec("SELECT 1"); }

inline void roll_back(Connection& c) { c.exec("ROLLBACK"); }
inline void commit(Connection& c) { c.exec("COMMIT"); }

}  // namespace deja::postgres
