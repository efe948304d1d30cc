#pragma once

#include <optional>
#include <string>
#include <vector>

#include <deja/transaction.h>

#include "core/outbound_event.h"
#include "postgres/connection.h"
#include "postgres/errors.h"
#include "postgres/statement_queue.h"

namespace deja::runtime {

/// What the handlers of a batch ask for: statements queued or sent, events, rejections. One per batch; knows which record runs.
class Collector final : public detail::TransactionBackend {
 public:
  struct Emitted {
    std::int64_t offset;
    Event event;
  };
  struct Rejected {
    std::int64_t offset;
    std::string reason;
  };

  Collector(postgres::Connection& connection, postgres::PreparedStatements& prepared, std::size_t max_event_bytes)
      : connection_(connection), prepared_(prepared), max_event_bytes_(max_event_bytes) {}

  /// Before each call of a handler: what follows can be taken back with undo(), unless statements were sent meanwhile.
  void begin_call();
  void undo();
  /// At a savepoint, with nothing queued: all that follows is forgotten with undo_group(), once the savepoint undid what was sent.
  void begin_group();
  void undo_group();
  /// Statements were sent since begin_call().
  bool sent() const { return sent_; }
  /// A statement failed since begin_call(), whether or not the handler caught it.
  const std::optional<postgres::SqlFailure>& failure() const { return failure_; }

  /// Sends what is queued. Throws what libpqxx throws.
  void flush();

  std::vector<Emitted>& emitted() { return emitted_; }
  std::vector<Rejected>& rejected() { return rejected_; }

  void insert(std::string_view table, std::span<const Column> row) override;
  void defer(std::string_view sql, std::span<const Value> arguments) override;
  void emit(const Record& source, Event event) override;
  void reject(const Record& record, std::string_view reason) override;
  pqxx::result query(std::string_view sql, std::span<const Value> arguments) override;

 private:
  postgres::Connection& connection_;
  postgres::PreparedStatements& prepared_;
  const std::size_t max_event_bytes_;
  postgres::StatementQueue queue_;
  std::vector<Emitted> emitted_;
  std::vector<Rejected> rejected_;
  std::optional<postgres::SqlFailure> failure_;
  bool sent_ = false;
  std::size_t mark_statements_ = 0, mark_events_ = 0, mark_rejected_ = 0;
  std::size_t group_events_ = 0, group_rejected_ = 0;
};

/// True for COMMIT, ROLLBACK and everything else that would end, begin or split the batch's transaction.
bool ends_transaction(std::string_view sql);

}  // namespace deja::runtime
