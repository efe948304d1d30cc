// expect-gcc: no matching function for call to deja::BatchTransaction::emit
// expect-clang: too few arguments to function call, expected 2, have 1
#include <deja/deja.h>

struct Handler {
  static constexpr auto name = "settle-payment";
  static constexpr auto idempotency = deja::by_payload();
  void handle(std::span<const deja::Record>, deja::BatchTransaction& tx) { tx.emit({.topic = "payments.settled"}); }
};

void try_it(deja::Application& app) { app.handle<Handler>("payments"); }
