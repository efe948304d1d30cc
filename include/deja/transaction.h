#pragma once

#include <array>
#include <initializer_list>
#include <span>
#include <string_view>

#include <deja/event.h>
#include <deja/record.h>
#include <deja/value.h>

namespace pqxx {
class result;
}

namespace deja {

namespace detail {
/// What the runtime (or a test) gives a transaction to work on. The record that pays for an error is the backend's to know.
class TransactionBackend {
 public:
  virtual ~TransactionBackend() = default;
  virtual void insert(std::string_view table, std::span<const Column> row) = 0;
  virtual void defer(std::string_view sql, std::span<const Value> arguments) = 0;
  virtual void emit(const Record& source, Event event) = 0;
  virtual void reject(const Record& record, std::string_view reason) = 0;
  virtual pqxx::result query(std::string_view sql, std::span<const Value> arguments) = 0;
};
}  // namespace detail

/// The Postgres transaction that holds the idempotency keys, the handlers' writes, the events and the consumer's progress.
///
/// Threading: only the thread that called the handler, and only during that call.
/// Order: statements take effect in the order of the calls, with one freedom: inserts between two other statements go out table by
/// table, in the order in which the tables came up. What is collected is sent before any statement whose result is asked for, and at
/// the end of the batch.
/// Errors: an error of a collected statement belongs to the record that caused it and cannot be caught in the handler.
class SqlWriter {
 public:
  SqlWriter(const SqlWriter&) = delete;
  SqlWriter& operator=(const SqlWriter&) = delete;

  /// Adds a row. The cheapest way to write. `table` may be qualified ("billing.ledger"); the names are quoted as they stand.
  /// Throws std::invalid_argument for an empty row, a column named twice or text with a NUL byte.
  void insert(std::string_view table, std::initializer_list<Column> row) { backend_.insert(table, {row.begin(), row.size()}); }
  void insert(std::string_view table, std::span<const Column> row) { backend_.insert(table, row); }

  /// Queues one INSERT, UPDATE, DELETE, MERGE, SELECT or WITH with parameters $1, $2, ...: prepared once per connection, sent later.
  template <class... Args>
  void defer(std::string_view sql, const Args&... arguments) {
    const std::array<Value, sizeof...(Args)> values{Value(arguments)...};
    backend_.defer(sql, values);
  }

  /// Runs one statement at once and returns its rows: needs <deja/query.h>. Throws pqxx::sql_error; a handler that catches it
  /// still fails, since the server has given the transaction up. COMMIT, ROLLBACK and the like are refused.
  template <class... Args>
  pqxx::result query(std::string_view sql, const Args&... arguments);

 protected:
  explicit SqlWriter(detail::TransactionBackend& backend) : backend_(backend) {}
  ~SqlWriter() = default;
  detail::TransactionBackend& backend_;
};

/// For handlers of one record: `void handle(const deja::Record&, deja::Transaction&)`.
class Transaction : public SqlWriter {
 public:
  Transaction(detail::TransactionBackend& backend, const Record& record) : SqlWriter(backend), record_(record) {}

  /// Publishes after the commit, in the order of the calls; never without the commit. See Event.
  void emit(Event event) { backend_.emit(record_, std::move(event)); }

 private:
  const Record& record_;
};

/// For handlers of many records: `void handle(std::span<const deja::Record>, deja::BatchTransaction&)`.
class BatchTransaction : public SqlWriter {
 public:
  explicit BatchTransaction(detail::TransactionBackend& backend) : SqlWriter(backend) {}

  /// An event caused by `record`, which must be one of the span.
  void emit(const Record& record, Event event) { backend_.emit(record, std::move(event)); }
  /// `record` is poison: it becomes a dead letter, cause `rejected`; its neighbours go on (with dlq.order = hold later ones of its
  /// ordering key are taken back and wait). Write nothing for it.
  void reject(const Record& record, std::string_view reason) { backend_.reject(record, reason); }
};

}  // namespace deja
