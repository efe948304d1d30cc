#pragma once

#include <string>

#include "postgres/connection.h"

namespace deja::postgres {

/// The names of all constraints that are checked only at COMMIT, ready for SET CONSTRAINTS; empty when there are none. deja's own
/// trigger on open lanes is left out: it must wait for the COMMIT.
std::string deferred_constraints(Connection& c);

}  // namespace deja::postgres
