#include <deja/deja.h>

struct Handler {
  static constexpr auto name = "settle-payment";
  static constexpr auto idempotency = deja::by_header("Idempotency-Key");
  static constexpr auto fingerprint = deja::by_key([](const deja::Record& record) { return record.value().substr(0, 8); });
  static constexpr auto ordering = deja::by_key([](const deja::Record& record) { return record.header("account"); });
  void handle(const deja::Record&, deja::Transaction&) {}
};

void use(deja::Application& app) { app.handle<Handler>("payments"); }
