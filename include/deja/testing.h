#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <deja/handler.h>

// Runs a handler on given records without Kafka, through the very batch transaction that runs in production, and shows its rows,
// events and dispositions. Needs a Postgres: $DEJA_POSTGRES, or else a temporary one of this machine's binaries.

namespace deja::testing {

/// A record to feed. Offsets are given out in order of arrival.
struct Input {
  std::optional<std::string> key = {};
  std::optional<std::string> value = {};
  std::vector<std::pair<std::string, std::string>> headers = {};
};

struct EmittedEvent {
  std::string id;  ///< the `deja-event-id`
  std::string topic;
  std::optional<std::string> key;
  std::optional<std::string> value;
  std::vector<std::pair<std::string, std::string>> headers;
};

/// What became of one record: "processed", "duplicate", "conflict" or "dead".
struct Outcome {
  std::int64_t offset = 0;
  std::string disposition;
  std::string cause;  ///< of a duplicate or a dead letter
  std::string error;  ///< what the handler threw
};

/// Values as text, nullopt for null.
using Row = std::vector<std::optional<std::string>>;

/// One handler on a fresh database that is dropped again at the end.
/// Threading: one thread. Throws std::runtime_error with the cause when there is no Postgres to be had.
class Harness {
 public:
  /// `init_sql` makes the tables that the handler writes to.
  template <class H, class... Args>
  static Harness of(std::string_view init_sql, Args&&... arguments) {
    return Harness(detail::make_spec<H>({"test"}, std::forward<Args>(arguments)...), init_sql);
  }
  ~Harness();
  Harness(Harness&&) noexcept;

  /// One batch; the outcomes in the order of the records.
  std::vector<Outcome> run(const std::vector<Input>& records);
  /// Delivers the last run's records again at the same offsets, as Kafka does after a lost commit: the lane drops them.
  std::vector<Outcome> redeliver();

  /// All events committed so far, in order.
  std::vector<EmittedEvent> events() const;
  std::vector<Row> query(std::string_view sql) const;

 private:
  Harness(detail::HandlerSpec spec, std::string_view init_sql);
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace deja::testing
