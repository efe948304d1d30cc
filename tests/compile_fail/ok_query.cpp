#include <deja/deja.h>
#include <deja/query.h>

struct Handler {
  static constexpr auto name = "settle-payment";
  static constexpr auto idempotency = deja::by_payload();
  void handle(const deja::Record& record, deja::Transaction& tx) {
    for (const auto& row : tx.query("select balance_cents from accounts where account = $1 and open = $2", record.key(), true))
      tx.insert("seen", {{"balance_cents", row[0].as<long>()}});
  }
};

void use(deja::Application& app) { app.handle<Handler>("payments"); }
