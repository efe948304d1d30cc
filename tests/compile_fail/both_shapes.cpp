// expect: deja: the handler has both shapes of handle: keep the one for a record or the one for a batch
#include <deja/deja.h>

struct Handler {
  static constexpr auto name = "settle-payment";
  static constexpr auto idempotency = deja::by_payload();
  void handle(const deja::Record&, deja::Transaction&) {}
  void handle(std::span<const deja::Record>, deja::BatchTransaction&) {}
};

void try_it(deja::Application& app) { app.handle<Handler>("payments"); }
