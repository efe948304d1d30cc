#pragma once

// The one place that knows how libpqxx's versions differ. Supported: 6.4 (Debian 12, Ubuntu 22.04) to 8.0.

#include <stdexcept>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <pqxx/pqxx>

namespace deja::postgres::compat {

using Arguments = std::vector<std::optional<std::string>>;

/// 6.4 reconnects a dead connection by itself; settings and locks of the session would be gone without a word.
inline void never_reconnect([[maybe_unused]] pqxx::connection& connection) {
#if PQXX_VERSION_MAJOR < 7
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  connection.inhibit_reactivation(true);
#pragma GCC diagnostic pop
#endif
}

inline pqxx::result exec_params(pqxx::transaction_base& transaction, const std::string& sql, const Arguments& arguments) {
#if PQXX_VERSION_MAJOR < 7
  std::vector<const char*> texts;
  texts.reserve(arguments.size());
  for (const auto& argument : arguments) texts.push_back(argument ? argument->c_str() : nullptr);
  return transaction.exec_params(sql, pqxx::prepare::make_dynamic_params(texts));
#else
  pqxx::params parameters;
  for (const auto& argument : arguments) {
    if (argument) {
      parameters.append(*argument);
    } else {
      parameters.append();
    }
  }
#if PQXX_VERSION_MAJOR == 7 && PQXX_VERSION_MINOR < 9
  return transaction.exec_params(sql, parameters);
#else
  return transaction.exec(sql, parameters);
#endif
#endif
}

/// A copy, whatever the version returns.
inline std::string sqlstate_of(const pqxx::sql_error& error) { return std::string(error.sqlstate()); }

}  // namespace deja::postgres::compat
