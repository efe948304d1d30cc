#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <pqxx/pqxx>

#include "postgres/connection_string.h"
#include "postgres/link_watch.h"

namespace deja::postgres {

/// One session. Opened by the constructor, closed by the destructor, never silently opened again: when the link is lost, throw
/// this object away and make another one.
///
/// Transactions are the caller's: send BEGIN, COMMIT and ROLLBACK as text. An error leaves the session usable (inside a
/// transaction only for ROLLBACK, as the server has it), unless broken().
/// Threading: one thread at a time. Errors: whatever libpqxx throws; classify() in postgres/errors.h says what it means.
class Connection {
 public:
  explicit Connection(const ConnectionOptions& options);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Simple protocol: several statements are allowed, and are one implicit transaction outside of BEGIN.
  pqxx::result exec(const std::string& sql);
  /// Extended protocol: exactly one statement, arguments in text form. Throws std::invalid_argument for text with a NUL byte.
  pqxx::result exec_params(const std::string& sql, const std::vector<std::optional<std::string>>& arguments);

  /// `text` as an SQL literal. Throws std::invalid_argument for text with a NUL byte.
  std::string quote(std::string_view text) const;
  std::string quote_name(std::string_view name) const;

  pqxx::connection& raw() { return connection_; }
  int backend_pid() const { return backend_pid_; }
  int server_version() const { return server_version_; }
  /// Of the server, as it writes it: another one after a restart or a fail-over, not after the crash of a single session.
  const std::string& server_up_since() const { return server_up_since_; }
  /// The link is known to be gone. False is no promise: only a statement finds out.
  bool broken() const;

 private:
  void apply_settings(const ConnectionOptions& options);
  template <class Send>
  pqxx::result watched(Send&& send);

  pqxx::connection connection_;
  // Sends statements as they are: it begins, commits and rolls back nothing.
  std::unique_ptr<pqxx::nontransaction> pass_through_;
  int backend_pid_ = 0;
  int server_version_ = 0;
  std::string server_up_since_;
  std::unique_ptr<LinkWatch::Entry> watch_;
};

/// `name` as an SQL identifier, without a connection (schema names in SQL templates).
std::string quoted_identifier(std::string_view name);

}  // namespace deja::postgres
