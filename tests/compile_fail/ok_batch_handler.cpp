#include <deja/deja.h>

struct Totals {
  static constexpr std::string_view name = "totals";
  static constexpr auto idempotency = deja::by_payload();

  void handle(std::span<const deja::Record> records, deja::BatchTransaction& tx) {
    for (const auto& record : records) {
      if (!record.has_key()) {
        tx.reject(record, "no key");
        continue;
      }
      tx.insert("totals", {{"account", record.key()}});
      tx.emit(record, {.topic = "totals.changed", .key = record.key(), .headers = {{"kind", "total"}, {"none"}}, .partition = 3});
    }
  }
};

void use(deja::Application& app) { app.handle<Totals>("payments"); }
