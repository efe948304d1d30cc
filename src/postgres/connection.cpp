#include "postgres/connection.h"

#include <stdexcept>

#include "postgres/pqxx_compat.h"

namespace deja::postgres {
namespace {

// libpq would cut the text there without a word.
void refuse_nul(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) throw std::invalid_argument("text for Postgres contains a NUL byte");
}

}  // namespace

Connection::Connection(const ConnectionOptions& options) : connection_(connection_string(options)) {
  compat::never_reconnect(connection_);
  pass_through_ = std::make_unique<pqxx::nontransaction>(connection_);
  backend_pid_ = connection_.backendpid();
  server_version_ = connection_.server_version();
  if (options.watch) watch_ = std::make_unique<LinkWatch::Entry>(*options.watch, connection_.sock(), backend_pid_, options.watch->is_own(options));
  apply_settings(options);
}

Connection::~Connection() = default;

void Connection::apply_settings(const ConnectionOptions& options) {
  // Notices would go to stderr line by line; every statement of ours is checked by its result instead.
  std::string sql = "set client_min_messages = error; set standard_conforming_strings = on;";
  if (options.read_only) sql += "set default_transaction_read_only = on;";
  const auto milliseconds = [&sql](std::string_view name, std::chrono::milliseconds value) {
    if (value.count() > 0) sql += "set " + std::string(name) + " = " + std::to_string(value.count()) + ";";
  };
  milliseconds("idle_in_transaction_session_timeout", options.idle_in_transaction_timeout);
  milliseconds("lock_timeout", options.lock_timeout);
  // A backend whose client is gone stops waiting and gives its locks back. Some platforms refuse the setting: then without it.
  if (server_version_ >= 140000) {
    sql += "select set_config('client_connection_check_interval', '2000', false) from pg_settings"
           " where name = 'client_connection_check_interval' and max_val::bigint >= 2000;";
  }
  sql += "select pg_postmaster_start_time()::text";
  server_up_since_ = exec(sql).front().front().c_str();
}

template <class Send>
pqxx::result Connection::watched(Send&& send) {
  if (!watch_) return send();
  struct Statement {
    LinkWatch::Entry& entry;
    explicit Statement(LinkWatch::Entry& e) : entry(e) { entry.begin(); }
    ~Statement() { entry.end(); }
  } statement(*watch_);
  return send();
}

pqxx::result Connection::exec(const std::string& sql) {
  refuse_nul(sql);
  return watched([&] { return pass_through_->exec(sql); });
}

pqxx::result Connection::exec_params(const std::string& sql, const std::vector<std::optional<std::string>>& arguments) {
  refuse_nul(sql);
  for (const auto& argument : arguments) {
    if (argument) refuse_nul(*argument);
  }
  return watched([&] { return compat::exec_params(*pass_through_, sql, arguments); });
}

std::string Connection::quote(std::string_view text) const {
  refuse_nul(text);
  const bool escapes = text.find('\\') != std::string_view::npos;  // E'' reads the same whatever standard_conforming_strings says
  std::string out = escapes ? " E'" : "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += c;
    out += c;
  }
  return out + "'";
}

std::string Connection::quote_name(std::string_view name) const { return quoted_identifier(name); }

bool Connection::broken() const { return !connection_.is_open(); }

std::string quoted_identifier(std::string_view name) {
  refuse_nul(name);
  std::string out = "\"";
  for (const char c : name) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

}  // namespace deja::postgres
