#pragma once

#include <string>

#include "postgres/connection.h"

namespace deja::postgres {

void create_database(Connection& c, const std::string& name);
/// Ends whoever is connected to it.
void drop_database(Connection& c, const std::string& name);

}  // namespace deja::postgres
