#include <mutex>

#include <deja/deja.h>

struct Common {
  static constexpr auto idempotency = deja::by_payload();
  void handle(const deja::Record&, deja::Transaction&) {}
};

struct WithArguments : Common {
  static constexpr auto name = "with-arguments";
  WithArguments(std::string label, std::int64_t limit) : label_(std::move(label)), limit_(limit) {}
  std::string label_;
  std::int64_t limit_;
};

// neither copied nor moved
struct Pinned : Common {
  static constexpr auto name = "pinned";
  Pinned() = default;
  explicit Pinned(std::unique_ptr<int> limit) : limit_(std::move(limit)) {}
  std::mutex mutex_;
  std::unique_ptr<int> limit_;
};

void use(deja::Application& app, deja::Runtime& runtime) {
  app.handle<WithArguments>("a", "label", app.settings().integer("limit", 5)).handle<Pinned>("b");
  app.handle_with<Pinned>("c", [] { return Pinned(std::make_unique<int>(1)); });
  app.handle_with<Pinned>("d", [made = 0]() mutable { return std::make_unique<Pinned>(std::make_unique<int>(made++)); });
  runtime.handle_with<WithArguments>("e", [] { return WithArguments("label", 1); });
}
