#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <deja/value.h>

#include "postgres/connection.h"

// What handlers write without asking for a result, sent together: in the order of the calls, runs of inserts as one statement.

namespace deja::postgres {

/// Statements prepared on one connection by their text, so that a queued one is sent as a short EXECUTE.
class PreparedStatements {
 public:
  /// Makes room when there are many; not between a name given and its use.
  void make_room(Connection& c);
  /// The name under which `sql` is prepared. Only INSERT, UPDATE, DELETE, MERGE, SELECT, VALUES and WITH can be.
  const std::string& name(Connection& c, const std::string& sql);

 private:
  static constexpr std::size_t max = 256;  // a handler that writes values into its SQL text must not fill the server's memory
  std::map<std::string, std::string> names_;
  std::size_t next_ = 0;
};

class StatementQueue {
 public:
  /// Throws std::invalid_argument: no column, a column twice, text with NUL, text that is no UTF-8.
  void insert(std::string_view table, std::span<const Column> row);
  void defer(std::string_view sql, std::span<const Value> arguments);

  bool empty() const { return operations_.empty(); }
  /// Forgets what was queued after the queue had `size()` operations.
  void shrink(std::size_t size) { operations_.resize(size); }
  std::size_t size() const { return operations_.size(); }
  void clear() { operations_.clear(); }

  /// The SQL of all that is queued, several statements in one text. May prepare statements on the connection.
  std::string sql(Connection& c, PreparedStatements& prepared) const;

 private:
  struct Operation {
    std::string table;    // of an insert; empty: a deferred statement
    std::string columns;  // quoted, comma separated; or the deferred SQL
    std::vector<Value> values;
  };
  std::vector<Operation> operations_;
};

}  // namespace deja::postgres
