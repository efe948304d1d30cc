#include <deja/deja.h>

class SettlePayment {
 public:
  static constexpr auto name = "settle-payment";
  static constexpr auto idempotency = deja::by_header("Idempotency-Key");

  void handle(const deja::Record& record, deja::Transaction& tx) {
    const auto account = record.key();
    if (!record.has_value()) throw deja::Reject("no value");
    tx.insert("ledger", {{"account", account}, {"amount_cents", 100}});
    tx.defer("update accounts set balance_cents = balance_cents + $2 where account = $1", account, 100);
    tx.emit({.topic = "payments.settled", .key = account, .value = record.value()});
  }
};

void use(deja::Application& app, deja::Runtime& runtime) {
  app.handle<SettlePayment>("payments").handle<SettlePayment>(deja::topics("payments", "refunds"));
  runtime.handle<SettlePayment>(std::string("payments")).handle<SettlePayment>(deja::Topics(std::vector<std::string>{"a", "b"}));
}
