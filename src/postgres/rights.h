#pragma once

#include <optional>
#include <string>

#include "postgres/connection.h"

// What the logins of people may do, as schemas/roles grants it. Threading and errors as in postgres/admin.h.

namespace deja::postgres {

enum class Duty {
  read_payloads,  ///< operators and admins
  change,         ///< operators and admins
  move_lanes,     ///< admins
};

/// By the one right that stands for the duty: so that a command refuses before it asks anything, and before it changes anything.
/// Throws Stop: 77, with the missing grant, the role that has it, and `instead`, what can be done without it.
void require(Connection& connection, const std::string& schema, Duty duty, const std::string& what, const std::string& instead = {});

/// "viewer", "operator" or "admin"; nothing for other logins, such as a program's.
std::optional<std::string> role_of_login(Connection& connection, const std::string& schema);

}  // namespace deja::postgres
