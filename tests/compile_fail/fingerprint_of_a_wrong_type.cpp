// expect: deja: fingerprint and ordering must be static constexpr deja::by_key(fn)
#include <deja/deja.h>

struct Handler {
  static constexpr auto name = "settle-payment";
  static constexpr auto idempotency = deja::by_payload();
  static constexpr auto fingerprint = [](const deja::Record& record) { return record.value(); };
  void handle(const deja::Record&, deja::Transaction&) {}
};

void try_it(deja::Application& app) { app.handle<Handler>("payments"); }
