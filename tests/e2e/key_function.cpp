// A handler whose keys only the program can compute: the key is the part of the value before a slash, and what follows the second one
// does not count for conflicts.
#include <deja/deja.h>

#include <cstdio>
#include <string>

namespace {

std::string part(const deja::Record& record, int slashes) {
  const auto value = record.value();
  std::size_t end = 0;
  for (int i = 0; i < slashes && end != std::string_view::npos; ++i) end = value.find('/', i == 0 ? 0 : end + 1);
  if (value.empty()) throw std::runtime_error("no value, no key");
  return std::string(value.substr(0, end));
}

struct Handler {
  static constexpr auto name = "key-function";
  static constexpr auto idempotency = deja::by_key([](const deja::Record& record) { return part(record, 1); });
  static constexpr auto fingerprint = deja::by_key([](const deja::Record& record) { return part(record, 2); });
  void handle(const deja::Record& record, deja::Transaction&) {
    if (record.value().ends_with("reject")) throw deja::Reject("told to");
  }
};

/// The same handler, once its producers send a header.
struct Changed : Handler {
  static constexpr auto idempotency = deja::by_header("Idempotency-Key");
  static constexpr auto previous_idempotency = Handler::idempotency;
};

/// The same fingerprint, but a key that anybody can read.
struct Fingerprint {
  static constexpr auto name = "fingerprint";
  static constexpr auto idempotency = deja::by_header("Idempotency-Key");
  static constexpr auto fingerprint = Handler::fingerprint;
  void handle(const deja::Record&, deja::Transaction&) {}
};

}  // namespace

int main(int argc, char** argv) {
  deja::Application app("key-function", argc, argv);
  try {
    const auto topics = app.settings().list("topics", {});
    if (app.settings().flag("changed", false)) app.handle<Changed>(topics.at(0));
    else app.handle<Handler>(topics.at(0));
    app.handle<Fingerprint>(topics.at(1));
  } catch (const deja::Stop& stop) {
    std::fprintf(stderr, "%s\n", stop.what());
    return stop.exit_code();
  }
  return app.run();
}
