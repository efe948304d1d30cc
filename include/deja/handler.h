#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <deja/idempotency.h>
#include <deja/record.h>
#include <deja/retry.h>
#include <deja/transaction.h>

// A handler is any class with
//   static constexpr auto name = "settle-payment";                             lasting: it is part of every idempotency key
//   static constexpr auto idempotency = deja::by_header("Idempotency-Key");     what identifies a record's effect
//   void handle(const deja::Record&, deja::Transaction&);                       or
//   void handle(std::span<const deja::Record>, deja::BatchTransaction&);        fresh records of one lane, in log order
// and, optionally,
//   static constexpr auto fingerprint = deja::by_key(fn);   what two records under one key must agree on (default: the value)
//   static constexpr auto ordering = deja::by_key(fn);      what must keep its order (default: the record key)
//   static constexpr auto previous_idempotency = deja::by_header("X-Id");      while the strategy changes: the one before; a record
//                                                                              is fresh only if it is so by both
//   static constexpr auto retry = deja::retry().attempts(3);  how often, how soon, and what is not tried again (default: retry.*)
//
// A batch handler's span may be any slice down to one record; after a throw it runs again in halves until the failing record
// stands alone. Handlers run again after a rollback: keep no state in the object that a rollback would have to undo.

namespace deja::detail {

class HandlerInstance {
 public:
  virtual ~HandlerInstance() = default;
  /// One record, or a batch: which one is called is HandlerSpec::batch.
  virtual void handle(const Record& record, TransactionBackend& backend) = 0;
  virtual void handle_batch(std::span<const Record> records, TransactionBackend& backend) = 0;
};

/// A handler with its type erased. Functions are pure and may be called from several threads at once.
struct HandlerSpec {
  std::string name;
  std::string strategy;  // in words: stored, compared at start, shown to operators
  bool key_free = false;
  bool batch = false;
  std::vector<std::string> topics;
  std::function<std::optional<std::string>(const Record&)> key;
  std::string previous_strategy;  // empty: there is no previous_idempotency
  bool previous_key_free = false;
  std::function<std::optional<std::string>(const Record&)> previous_key;
  std::function<std::optional<std::string>(const Record&)> fingerprint;  // empty: the value
  std::function<std::optional<std::string>(const Record&)> ordering;     // empty: the record key
  std::function<std::unique_ptr<HandlerInstance>()> make;                // one per lane worker
  std::int32_t max_attempts = INT32_MAX;                                 // never more than the configuration says
  std::chrono::milliseconds backoff_base{0}, backoff_max{0};             // 0: the configuration's
  bool (*is_final)() noexcept = nullptr;                                 // asked while an exception is being handled
};

template <class H>
concept HandlesRecord = requires(H& h, const Record& r, Transaction& tx) {
  { h.handle(r, tx) } -> std::same_as<void>;
};
template <class H>
concept HandlesBatch = requires(H& h, std::span<const Record> rs, BatchTransaction& tx) {
  { h.handle(rs, tx) } -> std::same_as<void>;
};

// The template arguments of bool_constant make a name or strategy that is only known at run time fail the concept.
template <class H>
concept NamesItself = requires { requires std::bool_constant<(std::string_view(H::name).size() > 0)>::value; };

template <class T>
constexpr bool known_at_compile_time(T) {
  return true;
}
/// A pointer to member would mean a non-static member: every instance would have its own.
template <class Pointer>
inline constexpr bool points_at_strategy = std::is_pointer_v<Pointer> && is_strategy<std::remove_pointer_t<Pointer>>;
template <class Pointer>
inline constexpr bool points_at_keyed_strategy = std::is_pointer_v<Pointer> && is_keyed_strategy<std::remove_pointer_t<Pointer>>;

template <class H>
concept DeclaresStrategy = requires { &H::idempotency; };
template <class H>
concept StrategyIsValid = requires {
  requires points_at_strategy<decltype(&H::idempotency)>;
  typename std::bool_constant<known_at_compile_time(H::idempotency)>;
};
template <class H>
concept PreviousStrategyIsValid = !requires { &H::previous_idempotency; } || requires {
  requires points_at_strategy<decltype(&H::previous_idempotency)>;
  typename std::bool_constant<known_at_compile_time(H::previous_idempotency)>;
};
template <class H>
concept FingerprintIsValid = !requires { &H::fingerprint; } || requires {
  requires points_at_keyed_strategy<decltype(&H::fingerprint)>;
  typename std::bool_constant<known_at_compile_time(H::fingerprint)>;
};
template <class H>
concept OrderingIsValid = !requires { &H::ordering; } || requires {
  requires points_at_keyed_strategy<decltype(&H::ordering)>;
  typename std::bool_constant<known_at_compile_time(H::ordering)>;
};

template <class H>
concept RetryIsValid = !requires { &H::retry; } || requires {
  requires std::is_pointer_v<decltype(&H::retry)> && is_retry<std::remove_pointer_t<decltype(&H::retry)>>;
  typename std::bool_constant<known_at_compile_time(H::retry)>;
};
template <class H>
constexpr bool retry_fits() {
  if constexpr (requires { H::retry.valid(); }) return H::retry.valid();
  return true;
}

// Plain bools and one chain of branches, so that each mistake is one error with one sentence.
template <class H>
constexpr bool is_handler() {
  constexpr bool named = NamesItself<H>;
  constexpr bool has_strategy = DeclaresStrategy<H>;
  constexpr bool strategy_valid = StrategyIsValid<H>;
  constexpr bool previous_valid = PreviousStrategyIsValid<H>;
  constexpr bool functions_valid = FingerprintIsValid<H> && OrderingIsValid<H>;
  constexpr bool retry_valid = RetryIsValid<H>;
  constexpr bool one = HandlesRecord<H>;
  constexpr bool many = HandlesBatch<H>;
  if constexpr (!named) {
    static_assert(named, "deja: the handler needs a lasting name: static constexpr auto name = \"settle-payment\";");
  } else if constexpr (!has_strategy) {
    static_assert(has_strategy, "deja: the handler needs an idempotency strategy: static constexpr auto idempotency = deja::by_header(\"Idempotency-Key\");");
  } else if constexpr (!strategy_valid) {
    static_assert(strategy_valid, "deja: idempotency must be static constexpr and one of by_header, by_key, by_payload, first_of, by_offset");
  } else if constexpr (!previous_valid) {
    static_assert(previous_valid, "deja: previous_idempotency must be static constexpr and one of by_header, by_key, by_payload, first_of, by_offset");
  } else if constexpr (!functions_valid) {
    static_assert(functions_valid, "deja: fingerprint and ordering must be static constexpr deja::by_key(fn)");
  } else if constexpr (!retry_valid) {
    static_assert(retry_valid, "deja: retry must be static constexpr and made by deja::retry()");
  } else if constexpr (!retry_fits<H>()) {
    static_assert(retry_fits<H>(), "deja: retry: at least one attempt, a wait of at least 1 ms that is not above its maximum, final errors as plain types");
  } else if constexpr (one && many) {
    static_assert(!(one && many), "deja: the handler has both shapes of handle: keep the one for a record or the one for a batch");
  } else if constexpr (!one && !many) {
    static_assert(one || many, "deja: the handler needs void handle(const deja::Record&, deja::Transaction&) or void handle(std::span<const deja::Record>, deja::BatchTransaction&)");
  }
  return named && strategy_valid && previous_valid && functions_valid && retry_valid && one != many;
}

template <class H>
class HandlerHolder final : public HandlerInstance {
 public:
  explicit HandlerHolder(std::unique_ptr<H> handler) : handler_(std::move(handler)) {}
  void handle(const Record& record, TransactionBackend& backend) override {
    if constexpr (HandlesRecord<H>) {
      Transaction tx(backend, record);
      handler_->handle(record, tx);
    }
  }
  void handle_batch(std::span<const Record> records, TransactionBackend& backend) override {
    if constexpr (HandlesBatch<H>) {
      BatchTransaction tx(backend);
      handler_->handle(records, tx);
    }
  }

 private:
  std::unique_ptr<H> handler_;
};

template <class H>
HandlerSpec describe_handler(std::vector<std::string> topics) {
  HandlerSpec spec;
  spec.name = std::string(std::string_view(H::name));
  spec.strategy = H::idempotency.describe();
  spec.key_free = std::remove_cvref_t<decltype(H::idempotency)>::key_free;
  spec.batch = HandlesBatch<H>;
  spec.topics = std::move(topics);
  spec.key = [](const Record& record) { return H::idempotency.extract(record); };
  if constexpr (requires { H::previous_idempotency; }) {
    spec.previous_strategy = H::previous_idempotency.describe();
    spec.previous_key_free = std::remove_cvref_t<decltype(H::previous_idempotency)>::key_free;
    spec.previous_key = [](const Record& record) { return H::previous_idempotency.extract(record); };
  }
  if constexpr (requires { H::fingerprint; })
    spec.fingerprint = [](const Record& record) { return H::fingerprint.extract(record); };
  if constexpr (requires { H::ordering; })
    spec.ordering = [](const Record& record) { return H::ordering.extract(record); };
  if constexpr (requires { H::retry; }) {
    spec.max_attempts = H::retry.attempts_or(INT32_MAX);
    spec.backoff_base = H::retry.base();
    spec.backoff_max = H::retry.most();
    spec.is_final = &std::remove_cvref_t<decltype(H::retry)>::is_final;
  }
  return spec;
}

/// One copy of the arguments makes one handler per lane worker.
template <class H, class... Args>
HandlerSpec make_spec(std::vector<std::string> topics, Args&&... arguments) {
  if constexpr (is_handler<H>()) {
    constexpr bool copyable = (std::is_constructible_v<std::decay_t<Args>, Args&&> && ...);
    constexpr bool fits = copyable && std::is_constructible_v<H, const std::decay_t<Args>&...>;
    static_assert(fits, "deja: no handler can be made from copies of these arguments: give what its constructor takes, or use handle_with");
    if constexpr (fits) {
      HandlerSpec spec = describe_handler<H>(std::move(topics));
      auto shared = std::make_shared<const std::tuple<std::decay_t<Args>...>>(std::forward<Args>(arguments)...);
      spec.make = [shared] {
        return std::apply([](const auto&... each) -> std::unique_ptr<HandlerInstance> {
          return std::make_unique<HandlerHolder<H>>(std::make_unique<H>(each...));
        }, *shared);
      };
      return spec;
    }
  }
  return {};  // not reached: an error was given
}

/// `factory()` returns an H or a std::unique_ptr<H>; called once per lane worker, from one thread.
template <class H, class Factory>
HandlerSpec make_spec_with(std::vector<std::string> topics, Factory factory) {
  if constexpr (is_handler<H>()) {
    constexpr bool makes_pointer = std::is_invocable_r_v<std::unique_ptr<H>, Factory&>;
    constexpr bool makes_handler = requires(Factory& make) { { make() } -> std::same_as<H>; };
    static_assert(makes_pointer || makes_handler, "deja: the factory of handle_with returns the handler or a std::unique_ptr of it");
    if constexpr (makes_pointer || makes_handler) {
      HandlerSpec spec = describe_handler<H>(std::move(topics));
      auto shared = std::make_shared<Factory>(std::move(factory));
      spec.make = [shared]() -> std::unique_ptr<HandlerInstance> {
        if constexpr (makes_pointer)
          return std::make_unique<HandlerHolder<H>>((*shared)());
        else
          return std::make_unique<HandlerHolder<H>>(std::unique_ptr<H>(new H((*shared)())));  // built in place: H need not move
      };
      return spec;
    }
  }
  return {};  // not reached: an error was given
}

}  // namespace deja::detail
