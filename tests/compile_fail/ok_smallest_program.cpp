#include <deja/deja.h>

struct Count {
  static constexpr auto name = "count";
  static constexpr auto idempotency = deja::by_header("Idempotency-Key");
  void handle(const deja::Record& record, deja::Transaction& tx) { tx.insert("seen", {{"value", record.value()}}); }
};

int main(int argc, char** argv) {
  deja::Application app("count", argc, argv);
  app.init("create table if not exists seen (value text)").handle<Count>("records");
  return app.run();
}
