#include <deja/deja.h>

template <class Strategy>
struct Handler {
  static constexpr auto name = "handler";
  static constexpr Strategy idempotency = Strategy{};
  void handle(const deja::Record&, deja::Transaction&) {}
};

inline std::string text_of(const deja::Record& record) { return std::string(record.value()); }
inline std::string_view view_of(const deja::Record& record) { return record.value(); }
inline std::optional<std::string> maybe_text_of(const deja::Record& record) { return text_of(record); }
inline std::optional<std::string_view> maybe_view_of(const deja::Record& record) { return record.header("id"); }

#define HANDLER(type, strategy)                              \
  struct type {                                              \
    static constexpr auto name = #type;                      \
    static constexpr auto idempotency = strategy;            \
    void handle(const deja::Record&, deja::Transaction&) {}  \
  }

HANDLER(Header, deja::by_header("Idempotency-Key"));
HANDLER(Payload, deja::by_payload());
HANDLER(Offset, deja::by_offset("the sink is a counter that may be off by a few"));
HANDLER(FirstOf, deja::first_of(deja::by_header("Idempotency-Key"), deja::by_header("ce_id"), deja::by_payload()));
HANDLER(Text, deja::by_key(text_of));
HANDLER(View, deja::by_key(&view_of));
HANDLER(MaybeText, deja::by_key(maybe_text_of));
HANDLER(MaybeView, deja::by_key(maybe_view_of));
HANDLER(Lambda, deja::by_key([](const deja::Record& record) { return record.key(); }));

void use(deja::Application& app) {
  app.handle<Header>("a").handle<Payload>("b").handle<Offset>("c").handle<FirstOf>("d");
  app.handle<Text>("e").handle<View>("f").handle<MaybeText>("g").handle<MaybeView>("h").handle<Lambda>("i");
  app.handle<Handler<deja::ByPayload>>("j");
}
