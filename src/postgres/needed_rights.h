#pragma once

#include <string>
#include <string_view>

namespace deja::postgres {

/// What a statement does with the table or view that Postgres refused it: "select, update"; empty when that cannot be told. `message` is Postgres's own,
/// "permission denied for table NAME".
std::string needed_rights(std::string_view statement, std::string_view message);

}  // namespace deja::postgres
