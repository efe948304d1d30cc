// Two handlers, the first one's of the first of app.topics, the second one's of the last. Both of one topic are refused at the start.
// The first rejects everything; the second writes what it gets to the table `taken`.
#include <deja/deja.h>

#include <cstdio>

namespace {

struct First {
  static constexpr auto name = "first";
  static constexpr auto idempotency = deja::by_header("Idempotency-Key");
  void handle(const deja::Record&, deja::Transaction&) { throw deja::Reject("the first handler takes nothing"); }
};

struct Second {
  static constexpr auto name = "second";
  static constexpr auto idempotency = deja::by_header("Idempotency-Key");
  void handle(const deja::Record& record, deja::Transaction& tx) {
    if (record.value() == "poison") throw deja::Reject("the second handler does not take it, too");
    tx.insert("taken", {{"topic", record.topic()}, {"value", record.value()}});
  }
};

}  // namespace

int main(int argc, char** argv) {
  deja::Application app("two-handlers", argc, argv);
  try {
    const auto topics = app.settings().list("topics", {"probe"});
    app.handle<First>(topics.front()).handle<Second>(topics.back());
  } catch (const deja::Stop& stop) {
    std::fprintf(stderr, "%s\n", stop.what());
    return stop.exit_code();
  }
  return app.run();
}
