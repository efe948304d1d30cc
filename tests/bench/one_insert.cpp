// The handler that the benchmark measures: one insert for a record, nothing emitted. The topic is app.topic. app.fails: records whose value begins
// with "f" fail at their first attempt (throw, sql), those that begin with "p" at every one (parked); none by default.
#include <deja/deja.h>
#include <deja/query.h>

#include <cstdio>
#include <stdexcept>
#include <string>

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

  explicit OneInsert(const std::string& fails) : by_throw_(fails == "throw"), by_sql_(fails == "sql"), parked_(fails == "parked") {}

  void handle(const deja::Record& record, deja::Transaction& tx) {
    const auto first = record.value().front();
    if (first == 'f' && record.attempt() == 1) {
      if (by_throw_) throw std::runtime_error("told to fail");
      if (by_sql_) tx.query("select 1 / $1::integer", 0);
    }
    if (first == 'p' && parked_) throw std::runtime_error("told to fail");
    tx.insert("bench_effects", {{"record_key", record.key()}, {"value", record.value()}});
  }

 private:
  const bool by_throw_, by_sql_, parked_;
};

}  // namespace

int main(int argc, char** argv) {
  deja::Application app("bench", argc, argv);
  try {
    app.settings().allow_only({"topic", "fails"});
    app.init(tables).handle<OneInsert>(app.settings().text("topic", "bench"), app.settings().text("fails", "none"));
  } catch (const deja::Stop& stop) {
    std::fprintf(stderr, "%s\n", stop.what());
    return stop.exit_code();
  }
  return app.run();
}
