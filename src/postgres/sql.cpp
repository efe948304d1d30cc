#include "postgres/sql.h"

#include <stdexcept>

#include "postgres/connection.h"

namespace deja::postgres {
namespace {

constexpr std::string_view placeholder = "{schema}";

int nibble(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  throw std::invalid_argument("not the text form of bytea");
}

}  // namespace

std::string with_schema(std::string_view sql, std::string_view schema) {
  const auto name = quoted_identifier(schema);
  std::string out;
  out.reserve(sql.size() + 64);
  for (;;) {
    const auto at = sql.find(placeholder);
    out += sql.substr(0, at);
    if (at == std::string_view::npos) return out;
    out += name;
    sql.remove_prefix(at + placeholder.size());
  }
}

std::string utc(const std::string& expression) {
  return "to_char(" + expression + R"( at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))";
}

std::string bytea_text(std::string_view bytes) {
  static constexpr char hex[] = "0123456789abcdef";
  std::string out = "\\x";
  out.reserve(2 + 2 * bytes.size());
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += hex[byte >> 4];
    out += hex[byte & 15];
  }
  return out;
}

std::string bytes_of(std::string_view bytea_text) {
  if (!bytea_text.starts_with("\\x") || bytea_text.size() % 2 != 0) throw std::invalid_argument("not the text form of bytea");
  std::string out;
  out.reserve(bytea_text.size() / 2 - 1);
  for (std::size_t i = 2; i < bytea_text.size(); i += 2) out += static_cast<char>(nibble(bytea_text[i]) * 16 + nibble(bytea_text[i + 1]));
  return out;
}

}  // namespace deja::postgres
