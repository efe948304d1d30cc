#pragma once

#include <exception>
#include <memory>

#include <deja/errors.h>

#include "postgres/connection.h"
#include "postgres/errors.h"

// For commands and starts, where a database error ends the program: errors become a Stop that names the cause.

namespace deja::postgres {

template <class Work>
auto explained(Connection& connection, Work work) {
  try {
    return work();
  } catch (const Stop&) {
    throw;
  } catch (const std::exception& error) {
    throw stop_for(classify(error, !connection.broken()), true);
  }
}

/// Throws Stop: 69 when the server cannot be reached, 77 when it refuses the login, 78 for a wrong URL or database.
inline std::unique_ptr<Connection> open_or_stop(const ConnectionOptions& options) {
  try {
    return std::make_unique<Connection>(options);
  } catch (const std::exception& error) {
    throw stop_for(classify(error), false);
  }
}

}  // namespace deja::postgres
