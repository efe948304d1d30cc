#include "runtime/batch_errors.h"

#include <deja/errors.h>

#include "runtime/failures.h"

namespace deja::runtime {

void raise_unless_own(const postgres::SqlFailure& failure, const std::string& handler) {
  using postgres::Failure;
  const std::string text = failure.message + (failure.sqlstate.empty() ? "" : " (" + failure.sqlstate + ")");
  switch (failure.kind) {
    case Failure::lost_connection:
    case Failure::unavailable:
    case Failure::login_refused:
    case Failure::no_database:
    case Failure::configuration:
      throw DatabaseAway(text);
    case Failure::repeat:
      throw RepeatBatch(failure.sqlstate, text);
    case Failure::no_permission:
      throw Stop(exit_code::no_permission, "handler " + handler + " lacks a right in the database: " + text + "; grant it, then start again");
    case Failure::schema_mismatch:
      throw Stop(exit_code::configuration, "handler " + handler + " does not fit the database: " + text +
                                               "; create what is missing (--init makes the program's own tables), then start again");
    case Failure::standby:  // a lost transaction block: sessions are read-only outside of it
    case Failure::own_timeout:
    case Failure::data:
      return;
  }
}

void raise_own(const postgres::SqlFailure& failure) {
  using postgres::Failure;
  switch (failure.kind) {
    case Failure::own_timeout:
    case Failure::repeat:
      throw RepeatBatch(failure.sqlstate.empty() ? "timeout" : failure.sqlstate, failure.message);
    case Failure::data:
    case Failure::schema_mismatch:
    case Failure::no_permission:
      throw postgres::stop_for(failure, true);
    default:
      throw DatabaseAway(failure.message);
  }
}

}  // namespace deja::runtime
