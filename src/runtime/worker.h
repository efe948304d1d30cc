#pragma once

#include <map>
#include <memory>
#include <string>

#include <deja/handler.h>

#include "core/random.h"
#include "postgres/connection.h"
#include "postgres/statement_queue.h"
#include "runtime/context.h"
#include "runtime/prepared_record.h"

namespace deja::runtime {

/// One thread's own: a connection, one instance of each handler, their key makers.
class Worker {
 public:
  explicit Worker(const Context& context);

  /// Opens one when there is none. Throws what libpqxx throws.
  postgres::Connection& connection();
  postgres::PreparedStatements& prepared() { return *prepared_; }
  /// After a lost link: the object is of no use any more.
  void drop_connection();

  struct Handler {
    std::unique_ptr<detail::HandlerInstance> instance;
    Preparer preparer;
  };
  Handler& handler(const detail::HandlerSpec& spec);
  core::Random& random() { return random_; }
  /// What the watchdog sees of this thread.
  CallInProgress& call() { return *call_; }

 private:
  const Context& context_;
  const std::shared_ptr<CallInProgress> call_;
  std::unique_ptr<postgres::Connection> connection_;
  std::unique_ptr<postgres::PreparedStatements> prepared_;
  std::map<std::string, Handler> handlers_;
  core::Random random_;
};

}  // namespace deja::runtime
