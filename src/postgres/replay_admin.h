#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/replay.h"
#include "postgres/connection.h"

// What operators do with replays of dead letters: foretell, begin, look at, pause, resume, cancel.

namespace deja::postgres {

struct ForetoldLetter {
  std::int64_t id = 0;
  core::Forecast forecast = core::Forecast::would_run;
  bool same_build = false;  ///< the program that runs now is the one that it failed in
  std::int64_t replays = 0;  ///< so far
};

struct ReplayOrder {
  std::optional<double> rate;
  std::optional<std::int64_t> canary;
  std::optional<double> stop_ratio;
  std::optional<std::string> redirect_to = {};  ///< a handler, instead of the topics' own
};

/// Something that an operator did with dead letters.
struct ActionRow {
  std::int64_t id = 0;
  std::string group, kind, who, reason, at, state;
  std::optional<std::string> redirect_to, state_cause;  ///< redirect_to: the handler of a replay by another one
  std::int64_t matched = 0, accepted = 0, refused = 0;
  std::int64_t queued = 0, running = 0, done = 0, failed = 0, cancelled = 0;  ///< of a replay
  std::int64_t differed = 0;                                                   ///< of those that ended: not as foretold
  std::optional<double> rate;       ///< that was asked for
  std::optional<double> eta;        ///< seconds, from what it did so far
  std::optional<std::string> finished_at;
};

/// A dead letter of a replay.
struct ActionItem {
  std::int64_t dead_letter = 0;
  std::string topic;
  std::int64_t partition = 0, offset = 0;
  std::string forecast, state;
  std::optional<std::string> outcome;
  std::string at;
};

/// Threading: one thread. Throws whatever libpqxx throws, or Stop where it says so.
class ReplayAdmin {
 public:
  ReplayAdmin(Connection& connection, std::string schema);

  /// Of these dead letters, in their order. `window`: how long keys are remembered. `redirect_to`: see ReplayOrder.
  std::vector<ForetoldLetter> foretell(const std::vector<std::int64_t>& ids, std::chrono::milliseconds window, const std::optional<std::string>& redirect_to = {});
  /// Whether a program of the group has this handler, or had when it ran last.
  bool knows(const std::string& group, const std::string& handler);

  /// In the caller's transaction. Those that are still open are taken; the group's programs feed them to their lanes.
  struct Begun {
    std::int64_t action = 0;
    std::vector<std::int64_t> accepted;
  };
  Begun begin(const std::string& group, const std::string& reason, std::int64_t matched, const std::vector<ForetoldLetter>& letters, const ReplayOrder& order);

  /// Newest first; `id` alone where it is given. `group` empty: all.
  std::vector<ActionRow> actions(const std::string& group, std::optional<std::int64_t> id, std::int64_t limit);
  /// In their order, a page at a time; `visit` returns false to stop.
  void items(std::int64_t action, const std::function<bool(const ActionItem&)>& visit);

  /// In the caller's transaction: from one of the states `from` to `to`. Nothing: it is in none of them.
  bool move(std::int64_t action, const std::vector<std::string>& from, const std::string& to, const std::string& cause);
  /// In the caller's transaction: what was not fed yet is open again. Returns how many.
  std::int64_t open_rest(std::int64_t action);
  /// The lanes that have some of it.
  std::vector<std::int32_t> lanes_of(std::int64_t action);
  /// In the caller's transaction: what waits in this lane is a dead letter again, as it was. Returns how many.
  std::int64_t take_back(std::int64_t action, std::int32_t lane);

 private:
  Connection& connection_;
  std::string schema_;
};

}  // namespace deja::postgres
