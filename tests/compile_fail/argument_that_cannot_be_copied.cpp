// expect: deja: no handler can be made from copies of these arguments: give what its constructor takes, or use handle_with
#include <deja/deja.h>

struct Handler {
  static constexpr auto name = "settle-payment";
  static constexpr auto idempotency = deja::by_payload();
  explicit Handler(std::unique_ptr<int> limit) : limit_(std::move(limit)) {}
  void handle(const deja::Record&, deja::Transaction&) {}
  std::unique_ptr<int> limit_;
};

void try_it(deja::Application& app) { app.handle<Handler>("payments", std::make_unique<int>(1)); }
