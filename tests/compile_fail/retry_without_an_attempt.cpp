// expect: deja: retry: at least one attempt, a wait of at least 1 ms that is not above its maximum, final errors as plain types
#include <deja/deja.h>

struct Handler {
  static constexpr auto name = "settle-payment";
  static constexpr auto idempotency = deja::by_payload();
  static constexpr auto retry = deja::retry().attempts(0);
  void handle(const deja::Record&, deja::Transaction&) {}
};

void try_it(deja::Application& app) { app.handle<Handler>("payments"); }
