#include "postgres/errors.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "postgres/needed_rights.h"
#include "postgres/pqxx_compat.h"

namespace deja::postgres {
namespace {

struct Row {
  std::string_view prefix;  // the first row that fits counts
  Failure failure;
};

constexpr std::array sqlstate_table = {
    Row{"08P01", Failure::data},  // a wrong number of parameters, not a link
    Row{"08", Failure::lost_connection},
    Row{"57P01", Failure::lost_connection},
    Row{"57P02", Failure::lost_connection},
    Row{"57P03", Failure::unavailable},
    Row{"57P04", Failure::no_database},
    Row{"57P05", Failure::lost_connection},
    Row{"57014", Failure::own_timeout},
    Row{"25P03", Failure::own_timeout},
    Row{"25P04", Failure::own_timeout},
    Row{"25006", Failure::standby},
    Row{"40003", Failure::lost_connection},
    Row{"40002", Failure::data},  // a constraint that was checked at the end
    Row{"40", Failure::repeat},
    Row{"55P03", Failure::repeat},
    Row{"28", Failure::login_refused},
    Row{"42501", Failure::no_permission},
    Row{"42P01", Failure::schema_mismatch},
    Row{"42703", Failure::schema_mismatch},
    Row{"42883", Failure::schema_mismatch},
    Row{"3F000", Failure::schema_mismatch},
    Row{"3D000", Failure::no_database},
    Row{"53", Failure::unavailable},
    Row{"58", Failure::unavailable},
};

struct Phrase {
  std::string_view text;
  Failure failure;
  std::string_view sqlstate;
};

// libpq hands out no SQLSTATE for a connection that it could not open, nor for one that was closed on it: the text is all there is.
constexpr std::array phrases = {
    Phrase{"authentication failed", Failure::login_refused, "28P01"},
    Phrase{"no password supplied", Failure::login_refused, "28P01"},
    Phrase{"no pg_hba.conf entry", Failure::login_refused, "28000"},
    Phrase{"pg_hba.conf rejects connection", Failure::login_refused, "28000"},
    Phrase{"is not permitted to log in", Failure::login_refused, "28000"},
    Phrase{"permission denied for database", Failure::no_permission, "42501"},
    Phrase{"too many connections", Failure::unavailable, "53300"},
    Phrase{"too many clients", Failure::unavailable, "53300"},
    Phrase{"remaining connection slots", Failure::unavailable, "53300"},
    Phrase{"the database system is", Failure::unavailable, "57P03"},
    Phrase{"idle-in-transaction timeout", Failure::own_timeout, "25P03"},
    Phrase{"invalid connection option", Failure::configuration, ""},
    Phrase{"in connection info string", Failure::configuration, ""},
    Phrase{"invalid URI", Failure::configuration, ""},
    Phrase{"invalid percent-encoded token", Failure::configuration, ""},
    Phrase{"in URI query parameter", Failure::configuration, ""},
    Phrase{"in IPv6 host address in URI", Failure::configuration, ""},
    Phrase{"in URI", Failure::configuration, ""},
    Phrase{"invalid port number", Failure::configuration, ""},
    Phrase{"invalid integer value", Failure::configuration, ""},
    Phrase{"sslmode value", Failure::configuration, ""},
};

// The primary line alone: DETAIL and CONTEXT quote rows, LINE quotes the statement.
std::string one_line(std::string_view text) {
  for (const std::string_view severity : {"ERROR:  ", "FATAL:  ", "PANIC:  "}) {
    const auto at = text.find(severity);
    if (at != std::string_view::npos) {
      text.remove_prefix(at + severity.size());
      break;
    }
  }
  while (!text.empty() && (text.front() == '\n' || text.front() == ' ')) text.remove_prefix(1);
  auto line = text.substr(0, text.find('\n'));
  while (!line.empty() && (line.back() == ' ' || line.back() == '\r')) line.remove_suffix(1);
  return std::string(line);
}

bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

SqlFailure of_text(const char* what) {
  const std::string_view text = what;
  SqlFailure failure{Failure::lost_connection, "", one_line(text)};
  const auto phrase = std::find_if(phrases.begin(), phrases.end(), [&](const Phrase& p) { return has(text, p.text); });
  if (phrase != phrases.end()) {
    failure.kind = phrase->failure;
    failure.sqlstate = phrase->sqlstate;
  } else if (has(text, "does not exist") && has(text, "FATAL") && has(text, "database \"")) {
    failure.kind = has(text, "role \"") ? Failure::login_refused : Failure::no_database;
    failure.sqlstate = failure.kind == Failure::no_database ? "3D000" : "28000";
  } else if (has(text, "does not exist") && has(text, "role \"")) {
    failure.kind = Failure::login_refused;
    failure.sqlstate = "28000";
  }
  // What 6.4 says instead of libpq's own words when the link was cut.
  if (has(text, "client encoding: not connected") || has(text, "reactivation is inhibited")) failure.message = "the server closed the connection";
  // Such a message quotes the URL, and with it perhaps a password.
  if (failure.kind == Failure::configuration) failure.message = "postgres.url is not a valid URL or list of key=value words";
  return failure;
}

template <class Error>
bool is(const std::exception& error) {
  return dynamic_cast<const Error*>(&error) != nullptr;
}

// 6.4 gives some of its exceptions no SQLSTATE (42501 for one): then the type stands for it, the closest one first.
std::string sqlstate_of(const pqxx::sql_error& error) {
  if (auto state = compat::sqlstate_of(error); !state.empty()) return state;
  if (is<pqxx::insufficient_privilege>(error)) return "42501";
  if (is<pqxx::undefined_table>(error)) return "42P01";
  if (is<pqxx::undefined_column>(error)) return "42703";
  if (is<pqxx::undefined_function>(error)) return "42883";
  if (is<pqxx::syntax_error>(error)) return "42601";
  if (is<pqxx::disk_full>(error)) return "53100";
  if (is<pqxx::out_of_memory>(error)) return "53200";
  if (is<pqxx::insufficient_resources>(error)) return "53000";
  if (is<pqxx::unique_violation>(error)) return "23505";
  if (is<pqxx::integrity_constraint_violation>(error)) return "23000";
  if (is<pqxx::data_exception>(error)) return "22000";
  if (is<pqxx::feature_not_supported>(error)) return "0A000";
  if (is<pqxx::invalid_cursor_state>(error)) return "24000";
  if (is<pqxx::invalid_sql_statement_name>(error)) return "26000";
  if (is<pqxx::invalid_cursor_name>(error)) return "34000";
  if (is<pqxx::plpgsql_error>(error)) return "P0000";
  return "";
}

SqlFailure of_state(std::string sqlstate, const char* what) {
  auto kind = failure_of(sqlstate);
  // What a standby says to BEGIN ... READ WRITE; a statement in a read-only transaction gets 25006.
  if (sqlstate == "0A000" && has(what, "during recovery")) kind = Failure::standby;
  return {kind, std::move(sqlstate), one_line(what)};
}

}  // namespace

Failure failure_of(const std::string& sqlstate) {
  const auto row = std::find_if(sqlstate_table.begin(), sqlstate_table.end(), [&](const Row& r) { return sqlstate.starts_with(r.prefix); });
  return row == sqlstate_table.end() ? Failure::data : row->failure;
}

SqlFailure classify(const std::exception& error, bool link_is_open) {
  const auto* what = error.what();
  // Up to 6.4 these are no sql_error and carry no SQLSTATE, so they come before it.
  if (is<pqxx::serialization_failure>(error)) return of_state("40001", what);
  if (is<pqxx::deadlock_detected>(error)) return of_state("40P01", what);
  if (is<pqxx::statement_completion_unknown>(error)) return of_state("40003", what);
  if (is<pqxx::in_doubt_error>(error)) return of_state("08007", what);
  if (is<pqxx::too_many_connections>(error)) return of_state("53300", what);
  if (is<pqxx::broken_connection>(error)) {
    if (has(what, "bind message supplies")) return of_state("08P01", what);
    return of_text(what);
  }
  if (const auto* sql = dynamic_cast<const pqxx::sql_error*>(&error)) {
    if (auto state = sqlstate_of(*sql); !state.empty()) {
      auto failure = of_state(std::move(state), what);
      if (failure.kind != Failure::no_permission) return failure;
      if (const auto rights = needed_rights(sql->query(), failure.message); !rights.empty()) failure.message += " (" + rights + ")";
      return failure;
    }
    if (link_is_open) return {Failure::data, "", one_line(what)};
    return of_text(what);
  }
  if (is<pqxx::transaction_rollback>(error)) return of_state("40000", what);
  return {Failure::data, "", one_line(what)};
}

Stop stop_for(const SqlFailure& failure, bool connected) {
  const auto& m = failure.message;
  switch (failure.kind) {
    case Failure::lost_connection:
      return connected ? Stop(exit_code::try_again, "the connection to Postgres was lost: " + m)
                       : Stop(exit_code::unavailable, "Postgres cannot be reached (postgres.url): " + m);
    case Failure::unavailable: return Stop(connected ? exit_code::try_again : exit_code::unavailable, "Postgres is not available: " + m);
    case Failure::repeat: return Stop(exit_code::try_again, "Postgres asks to try again: " + m);
    case Failure::own_timeout: return Stop(exit_code::try_again, "Postgres ended the statement: " + m);
    case Failure::standby: return Stop(exit_code::unavailable, "Postgres is read-only (a standby, or default_transaction_read_only): " + m);
    case Failure::login_refused: return Stop(exit_code::no_permission, "Postgres refused the login (postgres.url): " + m);
    case Failure::no_permission: return Stop(exit_code::no_permission, "a grant is missing: " + m);
    case Failure::no_database: return Stop(exit_code::configuration, "the database of postgres.url is not there: " + m);
    case Failure::schema_mismatch:
      return Stop(exit_code::configuration, "deja's schema does not fit this program: " + m + "; run `deja migrate`");
    case Failure::configuration: return Stop(exit_code::configuration, m);
    case Failure::data: break;
  }
  return Stop(exit_code::defect, "Postgres refused a statement of deja's own: " + m + (failure.sqlstate.empty() ? "" : " (" + failure.sqlstate + ")"));
}

}  // namespace deja::postgres
