// The handler that the benchmark measures: one insert for a record, nothing emitted. The topic is app.topic.
#include <deja/deja.h>

#include <cstdio>

namespace {

constexpr auto tables = R"sql(
create table if not exists bench_effects (
  id          bigint generated always as identity primary key,
  record_key  text not null,
  value       text not null
);
)sql";

class OneInsert {
 public:
  static constexpr auto name = "one-insert";
  static constexpr auto idempotency = deja::by_header("Idempotency-Key");

  void handle(const deja::Record& record, deja::Transaction& tx) {
    tx.insert("bench_effects", {{"record_key", record.key()}, {"value", record.value()}});
  }
};

}  // namespace

int main(int argc, char** argv) {
  deja::Application app("bench", argc, argv);
  try {
    app.settings().allow_only({"topic"});
    app.init(tables).handle<OneInsert>(app.settings().text("topic", "bench"));
  } catch (const deja::Stop& stop) {
    std::fprintf(stderr, "%s\n", stop.what());
    return stop.exit_code();
  }
  return app.run();
}
