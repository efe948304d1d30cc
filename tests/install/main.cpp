#include <deja/deja.h>

class SettlePayment {
 public:
  static constexpr auto name = "settle-payment";
  static constexpr auto idempotency = deja::by_header("Idempotency-Key");

  void handle(const deja::Record& record, deja::Transaction& tx) {
    if (!record.has_key()) throw deja::Reject("a payment needs an account");
    tx.insert("ledger", {{"account", record.key()}, {"payment", record.value()}});
    tx.emit({.topic = "payments.settled", .key = record.key(), .value = record.value()});
  }
};

int main(int argc, char** argv) {
  deja::Application app("payments", argc, argv);
  app.init("create table if not exists ledger (account text, payment text)").handle<SettlePayment>("payments");
  return app.run();
}
