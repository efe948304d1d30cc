#include "postgres/statement_queue.h"

#include <algorithm>
#include <stdexcept>

#include "core/utf8.h"

namespace deja::postgres {

namespace {
void check(const Value& value, std::string_view what) {
  if (!value.is_null() && !core::is_text(value.text()))
    throw std::invalid_argument(std::string(what) + " has a NUL byte or is not UTF-8: use deja::bytea(...) and a bytea column");
}

// "billing.ledger" -> "billing"."ledger"
std::string table_name(std::string_view table) {
  const auto dot = table.find('.');
  if (dot == std::string_view::npos) return quoted_identifier(table);
  return quoted_identifier(table.substr(0, dot)) + "." + quoted_identifier(table.substr(dot + 1));
}

std::string literals(const Connection& c, const std::vector<Value>& values) {
  std::string list = "(";
  for (const auto& value : values) {
    if (list.size() > 1) list += ',';
    list += value.is_null() ? "null" : c.quote(value.text());
  }
  return list + ")";
}
}  // namespace

void PreparedStatements::make_room(Connection& c) {
  if (names_.size() < max) return;
  std::string sql;
  for (const auto& [text, name] : names_) sql += "deallocate " + name + ";";
  c.exec(sql);
  names_.clear();
}

const std::string& PreparedStatements::name(Connection& c, const std::string& sql) {
  if (const auto found = names_.find(sql); found != names_.end()) return found->second;
  const std::string name = "deja_" + std::to_string(next_++);
  // as one statement of the extended protocol: "insert ...; commit" is refused by the server, not run
  c.exec_params("prepare " + name + " as " + sql, {});
  return names_.emplace(sql, name).first->second;
}

void StatementQueue::insert(std::string_view table, std::span<const Column> row) {
  if (table.empty()) throw std::invalid_argument("insert: the table has no name");
  if (row.empty()) throw std::invalid_argument("insert into " + std::string(table) + ": a row needs at least one column");
  Operation op;
  op.table = table_name(table);
  op.values.reserve(row.size());
  for (std::size_t i = 0; i < row.size(); ++i) {
    check(row[i].value, "column " + std::string(row[i].name));
    for (std::size_t k = 0; k < i; ++k)
      if (row[k].name == row[i].name) throw std::invalid_argument("insert into " + std::string(table) + ": column " + std::string(row[i].name) + " is there twice");
    if (i > 0) op.columns += ',';
    op.columns += quoted_identifier(row[i].name);
    op.values.push_back(row[i].value);
  }
  operations_.push_back(std::move(op));
}

void StatementQueue::defer(std::string_view sql, std::span<const Value> arguments) {
  if (sql.empty()) throw std::invalid_argument("defer: the statement is empty");
  for (std::size_t i = 0; i < arguments.size(); ++i) check(arguments[i], "argument $" + std::to_string(i + 1));
  operations_.push_back({{}, std::string(sql), {arguments.begin(), arguments.end()}});
}

std::string StatementQueue::sql(Connection& c, PreparedStatements& prepared) const {
  std::string text;
  prepared.make_room(c);
  struct Group {
    const Operation* shape;
    std::string rows;
  };
  std::vector<Group> groups;  // inserts since the last deferred statement, by table and columns, in order of first appearance
  const auto send_groups = [&] {
    for (const auto& g : groups) text += "insert into " + g.shape->table + " (" + g.shape->columns + ") values " + g.rows + ";\n";
    groups.clear();
  };
  for (const auto& op : operations_) {
    if (op.table.empty()) {
      send_groups();
      text += "execute " + prepared.name(c, op.columns);
      if (!op.values.empty()) text += literals(c, op.values);
      text += ";\n";
      continue;
    }
    const auto same = std::find_if(groups.begin(), groups.end(), [&](const Group& g) { return g.shape->table == op.table && g.shape->columns == op.columns; });
    if (same == groups.end())
      groups.push_back({&op, literals(c, op.values)});
    else
      same->rows += "," + literals(c, op.values);
  }
  send_groups();
  return text;
}

}  // namespace deja::postgres
