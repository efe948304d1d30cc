#include <deja/deja.h>
#include <deja/testing.h>

struct Handler {
  static constexpr auto name = "settle-payment";
  static constexpr auto idempotency = deja::by_header("Idempotency-Key");
  explicit Handler(int limit) : limit_(limit) {}
  void handle(const deja::Record&, deja::Transaction&) {}
  int limit_;
};

std::size_t try_it() {
  auto harness = deja::testing::Harness::of<Handler>("create table ledger (id int)", 5);
  const auto outcomes = harness.run({{.key = "k", .value = "v", .headers = {{"Idempotency-Key", "1"}}}});
  return outcomes.size() + harness.events().size() + harness.query("select * from ledger").size();
}
