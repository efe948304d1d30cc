// expect: deja: first_of takes by_header, by_key and by_payload
#include <deja/deja.h>

struct Handler {
  static constexpr auto name = "settle-payment";
  static constexpr auto idempotency = deja::first_of(deja::by_header("ce_id"), deja::by_offset("harmless"));
  void handle(const deja::Record&, deja::Transaction&) {}
};

void try_it(deja::Application& app) { app.handle<Handler>("payments"); }
