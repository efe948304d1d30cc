// expect: deja: the handler needs a lasting name: static constexpr auto name = "settle-payment";
#include <deja/deja.h>

struct Handler {
  static constexpr auto name = "";
  static constexpr auto idempotency = deja::by_payload();
  void handle(const deja::Record&, deja::Transaction&) {}
};

void try_it(deja::Application& app) { app.handle<Handler>("payments"); }
