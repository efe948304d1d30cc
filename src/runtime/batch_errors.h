#pragma once

#include <string>

#include "postgres/errors.h"

// What an error of the database means for a batch: thrown as one of runtime/failures.h, or as Stop.

namespace deja::runtime {

/// A statement of a handler failed: throws what concerns the whole batch, returns when it is one record's own failure.
void raise_unless_own(const postgres::SqlFailure& failure, const std::string& handler);

/// A statement of deja's own failed: never a record's fault.
[[noreturn]] void raise_own(const postgres::SqlFailure& failure);

}  // namespace deja::runtime
