#include <chrono>
#include <stdexcept>

#include <deja/deja.h>

using namespace std::chrono_literals;

struct UnknownAccount : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Handler {
  static constexpr auto name = "settle-payment";
  static constexpr auto idempotency = deja::by_header("Idempotency-Key");
  static constexpr auto retry = deja::retry().attempts(3).backoff(100ms, 5s).final_errors<std::invalid_argument, UnknownAccount>();
  void handle(const deja::Record&, deja::Transaction&) {}
};

void use(deja::Application& app) { app.handle<Handler>("payments"); }
