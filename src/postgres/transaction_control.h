#pragma once

#include <string>
#include <type_traits>

#include "failpoints/failpoint.h"
#include "postgres/connection.h"

namespace deja::postgres {

/// The work of some records of a batch, which can be taken back alone. Not nested.
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

/// B1: never the session's or the database's default.
inline constexpr const char* begin_writing = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; ";

/// First in a transaction: a worker that waits for somebody else's lock is missing elsewhere, better to come back.
inline constexpr const char* short_wait = "SET LOCAL lock_timeout = '250ms'";

/// After an error: the first one is the one to tell, and on a lost link the transaction is gone anyway.
inline void roll_back_quietly(Connection& c) {
  try {
    if (!c.broken()) roll_back(c);
  } catch (const std::exception&) {
  }
}

/// Runs `work` in a transaction of its own, which is committed unless `work` throws or returns false (void commits). `first`:
/// statements that go out with the BEGIN. Returns what `work` does.
template <class Work>
auto in_transaction(Connection& c, Work&& work, const std::string& first = {}) {
  try {
    c.exec(begin_writing + first);
    if constexpr (std::is_void_v<decltype(work())>) {
      work();
      commit(c);
      DEJA_FAILPOINT(after_short_commit);
    } else {
      auto result = work();
      static_cast<bool>(result) ? commit(c) : roll_back(c);
      DEJA_FAILPOINT(after_short_commit);
      return result;
    }
  } catch (...) {
    roll_back_quietly(c);
    throw;
  }
}

}  // namespace deja::postgres
