// expect: deja: the handler needs void handle(const deja::Record&, deja::Transaction&) or void handle(std::span<const deja::Record>, deja::BatchTransaction&)
#include <deja/deja.h>

struct Handler {
  static constexpr auto name = "settle-payment";
  static constexpr auto idempotency = deja::by_payload();
  bool handle(const deja::Record&, deja::Transaction&) { return true; }
};

void try_it(deja::Application& app) { app.handle<Handler>("payments"); }
