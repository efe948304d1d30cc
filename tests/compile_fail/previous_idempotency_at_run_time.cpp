// expect: deja: previous_idempotency must be static constexpr and one of by_header, by_key, by_payload, first_of, by_offset
#include <deja/deja.h>

struct Handler {
  static constexpr auto name = "settle-payment";
  static constexpr auto idempotency = deja::by_header("Idempotency-Key");
  static inline auto previous_idempotency = deja::by_header("X-Id");
  void handle(const deja::Record&, deja::Transaction&) {}
};

void try_it(deja::Application& app) { app.handle<Handler>("payments"); }
