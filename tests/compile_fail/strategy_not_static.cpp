// expect: deja: idempotency must be static constexpr and one of by_header, by_key, by_payload, first_of, by_offset
#include <deja/deja.h>

struct Handler {
  static constexpr auto name = "settle-payment";
  deja::ByHeader idempotency = deja::by_header("Idempotency-Key");
  void handle(const deja::Record&, deja::Transaction&) {}
};

void try_it(deja::Application& app) { app.handle<Handler>("payments"); }
