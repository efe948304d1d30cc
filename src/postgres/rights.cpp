#include "postgres/rights.h"

#include "postgres/columns.h"
#include "postgres/explain.h"

namespace deja::postgres {
namespace {

struct Needed {
  const char *table, *column, *right;
  const char *may_not, *role;
};

Needed needed_for(Duty duty) {
  switch (duty) {
    case Duty::read_payloads: return {"dead_letters", "value", "select", "read payloads", "operator"};
    case Duty::change: return {"audit_log", "action", "insert", "change anything", "operator"};
    default: return {"lanes", "next_offset", "update", "move lanes", "admin"};
  }
}

// By its row in the catalogue: looking a name up needs the right to use the schema.
const std::string table_of_schema = " from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relname = $2";

}  // namespace

void require(Connection& connection, const std::string& schema, Duty duty, const std::string& what, const std::string& instead) {
  const auto needed = needed_for(duty);
  explained(connection, [&] {
    const auto rows = connection.exec_params("select has_column_privilege(c.oid, $3, $4), current_user" + table_of_schema, {schema, needed.table, needed.column, needed.right});
    if (rows.empty() || rows[0][0].as<bool>()) return;  // where the table is missing, the statement tells it
    throw Stop(exit_code::no_permission, what + ": the role " + rows[0][1].c_str() + " may not " + needed.may_not + ", a grant is missing (" + needed.right + " of column " + needed.column + " on " + schema + "." + needed.table +
                                             "); nothing was changed. " + (instead.empty() ? "Ask" : instead + ", or ask") + " for the rights of schemas/roles/" + needed.role + ".sql");
  });
}

std::optional<std::string> role_of_login(Connection& connection, const std::string& schema) {
  return explained(connection, [&]() -> std::optional<std::string> {
    const auto ask = [&](const std::string& facts, const char* table) { return connection.exec_params("select " + facts + table_of_schema, {schema, table}); };
    const auto letters = ask("has_column_privilege(c.oid, 'error', 'select') and not has_column_privilege(c.oid, 'value', 'select')", "dead_letters");
    if (!letters.empty() && letters[0][0].as<bool>()) return "viewer";
    // A program may change the whole row of its lane, people some of its columns.
    const auto lanes = ask("has_column_privilege(c.oid, 'pause_reason', 'update') and not has_table_privilege(c.oid, 'update'), has_column_privilege(c.oid, 'next_offset', 'update')", "lanes");
    if (lanes.empty() || !lanes[0][0].as<bool>()) return std::nullopt;
    return lanes[0][1].as<bool>() ? "admin" : "operator";
  });
}

}  // namespace deja::postgres
