#include "runtime/worker.h"

#include "failpoints/failpoint.h"

#include <random>

namespace deja::runtime {

Worker::Worker(const Context& context) : context_(context), call_(context.watchdog.add()), random_(std::random_device{}()) {}

postgres::Connection& Worker::connection() {
  if (connection_ && connection_->broken()) drop_connection();
  if (!connection_) {
    connection_ = std::make_unique<postgres::Connection>(context_.connection);
    DEJA_FAILPOINT(after_connect);
    prepared_ = std::make_unique<postgres::PreparedStatements>();
    context_.dependencies.up("postgres");
  }
  return *connection_;
}

void Worker::drop_connection() {
  connection_.reset();
  prepared_.reset();
}

Worker::Handler& Worker::handler(const detail::HandlerSpec& spec) {
  const auto found = handlers_.find(spec.name);
  if (found != handlers_.end()) return found->second;
  Handler made{spec.make(), Preparer(spec, context_.keys, context_.lanes_per_partition > 1)};
  return handlers_.emplace(spec.name, std::move(made)).first->second;
}

}  // namespace deja::runtime
