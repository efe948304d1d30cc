// expect-gcc: no matching function for call to deja::Application::handle<Handler>(<brace-enclosed initializer list>)
// expect-clang: no matching member function
#include <deja/deja.h>

struct Handler {
  static constexpr auto name = "settle-payment";
  static constexpr auto idempotency = deja::by_payload();
  void handle(const deja::Record&, deja::Transaction&) {}
};

void try_it(deja::Application& app) { app.handle<Handler>({{"payments", "refunds"}}); }
