#pragma once

// Statements whose result a handler needs at once. In a header of its own so that <deja/deja.h> does not include libpqxx.

#include <pqxx/pqxx>

#include <deja/transaction.h>

namespace deja {

template <class... Args>
pqxx::result SqlWriter::query(std::string_view sql, const Args&... arguments) {
  const std::array<Value, sizeof...(Args)> values{Value(arguments)...};
  return backend_.query(sql, values);
}

}  // namespace deja
