#include <deja/deja.h>

struct FromHeader {
  static constexpr auto name = "from-header";
  static constexpr auto idempotency = deja::by_key([](const deja::Record& record) { return record.value().substr(0, 8); });
  static constexpr auto previous_idempotency = deja::by_header("Idempotency-Key");
  void handle(const deja::Record&, deja::Transaction&) {}
};

struct FromOffset {
  static constexpr auto name = "from-offset";
  static constexpr auto idempotency = deja::by_payload();
  static constexpr auto previous_idempotency = deja::by_offset("the sink was a counter");
  void handle(std::span<const deja::Record>, deja::BatchTransaction&) {}
};

void use(deja::Application& app) { app.handle<FromHeader>("a").handle<FromOffset>("b"); }
