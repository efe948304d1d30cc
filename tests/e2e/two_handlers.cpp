// Two handlers for one topic, which a start refuses. The topic is the first of app.topics.
#include <deja/deja.h>

#include <cstdio>

namespace {

template <int number>
struct Handler {
  static constexpr auto name = number == 1 ? "first" : "second";
  static constexpr auto idempotency = deja::by_header("Idempotency-Key");
  void handle(const deja::Record&, deja::Transaction&) {}
};

}  // namespace

int main(int argc, char** argv) {
  deja::Application app("two-handlers", argc, argv);
  try {
    const auto topics = app.settings().list("topics", {"probe"});
    app.handle<Handler<1>>(topics.front()).handle<Handler<2>>(topics.front());
  } catch (const deja::Stop& stop) {
    std::fprintf(stderr, "%s\n", stop.what());
    return stop.exit_code();
  }
  return app.run();
}
