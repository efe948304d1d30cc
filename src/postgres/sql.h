#pragma once

#include <string>
#include <string_view>

namespace deja::postgres {

/// `sql` with every `{schema}` replaced by the quoted schema name.
std::string with_schema(std::string_view sql, std::string_view schema);

/// A time as the outer surface shows it, RFC 3339 in UTC; null stays null.
std::string utc(const std::string& expression);

/// Bytes as Postgres' text form of bytea, `\x00ff`, and back. The second throws std::invalid_argument for anything else.
std::string bytea_text(std::string_view bytes);
std::string bytes_of(std::string_view bytea_text);

}  // namespace deja::postgres
