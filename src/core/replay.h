#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// Decisions about dead letters that are to run again. Nothing here does I/O.

namespace deja::core {

/// What would become of a dead letter if it were replayed now.
enum class Forecast {
  would_run,
  waiting,            ///< it would run when an earlier record of its ordering key is done
  already_processed,  ///< another record took effect under its key: it would be a duplicate
  conflict,           ///< another record took effect under its key with another payload
  expired,            ///< its key may have been forgotten: it is older than the window
  not_registered,     ///< no program handles it any more
};
std::string_view word(Forecast forecast);
/// A replay would come to nothing: it is refused.
constexpr bool is_futile(Forecast f) { return f == Forecast::conflict || f == Forecast::expired || f == Forecast::not_registered; }

struct ReplayFacts {
  bool registered = true;
  /// Another record took effect under its key, with the same payload or not.
  std::optional<bool> same_payload = {};
  bool older_than_window = false;
  bool behind = false;  ///< an earlier record of its ordering key, which is not replayed with it
};
Forecast foretell(const ReplayFacts& facts);

/// Whether a replay ended as it was foretold. `outcome` is a disposition.
bool came_true(std::string_view forecast, std::string_view outcome);

/// A replay on its way.
struct ReplayProgress {
  std::int64_t accepted = 0, fed = 0;       ///< fed: given to their lanes so far
  std::int64_t in_flight = 0, failed = 0;   ///< of those that were fed
  std::optional<double> rate = {};          ///< records a second; nothing: the retry budget paces them
  double credit = 0;                        ///< seconds of the rate that are not used yet
  std::optional<std::int64_t> canary = {};  ///< so many first
  std::optional<double> stop_ratio = {};    ///< the share of failures beyond which it stops
};

struct ReplayStep {
  std::int64_t feed = 0;   ///< so many more now
  std::string stop;        ///< not empty: it stops, for this cause
  bool finished = false;
};
/// The share of failures is looked at from so many on: before, a single one says little.
inline constexpr std::int64_t judged_from = 10;
ReplayStep next_step(const ReplayProgress& progress);

/// Seconds of a rate that are kept at most, so that one that was held up does not come in a flood.
double longest_credit(double rate);

}  // namespace deja::core
