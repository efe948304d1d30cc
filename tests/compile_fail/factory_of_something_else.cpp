// expect: deja: the factory of handle_with returns the handler or a std::unique_ptr of it
#include <deja/deja.h>

struct Handler {
  static constexpr auto name = "settle-payment";
  static constexpr auto idempotency = deja::by_payload();
  void handle(const deja::Record&, deja::Transaction&) {}
};

void try_it(deja::Application& app) {
  app.handle_with<Handler>("payments", [] { return std::string("no handler"); });
}
