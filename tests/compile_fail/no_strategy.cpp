// expect: deja: the handler needs an idempotency strategy: static constexpr auto idempotency = deja::by_header("Idempotency-Key");
#include <deja/deja.h>

struct Handler {
  static constexpr auto name = "settle-payment";
  void handle(const deja::Record&, deja::Transaction&) {}
};

void try_it(deja::Application& app) { app.handle<Handler>("payments"); }
