#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "core/clock.h"
#include "core/redelivery.h"

namespace deja::core {

struct FloodPolicy {
  double ratio = 0.5;                        ///< more than this share of the records with one cause is a flood; 1: never
  std::chrono::milliseconds window{60'000};  ///< over which it is measured
  /// Below so many records a share says nothing. Between the defaults of Hystrix (circuitBreaker.requestVolumeThreshold, 20) and of
  /// resilience4j (minimumNumberOfCalls, 100): some traffic a second, and not a handful of bad records alone.
  static constexpr std::int64_t least = 50;
};

enum class FloodState { watching, outage, poison };

constexpr std::string_view in_words(FloodState state) {
  return state == FloodState::watching ? "watching" : state == FloodState::outage ? "outage" : "poison";
}

/// Records that were tried for the first time, and how many of them failed, by the fingerprint of the failure. So every record counts once.
struct FirstTries {
  std::int64_t records = 0;
  std::map<std::string, std::int64_t> failed;
};

/// A failure that may be its surroundings' fault and not the record's: not what the handler said of the record, nor what ends the process.
bool may_be_outage(Trouble trouble);

/// Of one handler: most records fail with one cause, so that it is an outage and not poison, until an operator says otherwise.
/// Nothing here does I/O; the caller gives the time.
class FloodGuard {
 public:
  explicit FloodGuard(FloodPolicy policy = {}) : policy_(policy) {}

  /// The fingerprint that `tries`, were they committed, would make a flood of.
  std::optional<std::string> flood(const FirstTries& tries, Steady::time_point now) const;
  /// They were committed.
  void delivered(const FirstTries& tries, Steady::time_point now);
  /// A failure of this cause was committed, the record's first or not.
  void failed(const std::string& fingerprint, Steady::time_point now);

  /// From now on records that fail so wait, and nothing is spent. What was counted is forgotten: it is settled.
  void trip(const std::string& fingerprint, Steady::time_point now);
  bool holds(const std::string& fingerprint) const { return outage_ == fingerprint; }
  /// A record that had failed so waits again.
  void held(Steady::time_point now) { last_held_ = now; }
  /// It passed, or none waits for it any more. False: there was no outage.
  bool over();
  /// Nothing has waited for so long that nothing will.
  bool forgotten(Steady::time_point now, std::chrono::milliseconds probes_every) const;

  /// An operator: it is poison, go on. False: there is no outage of that cause.
  bool rule_poison(const std::string& fingerprint, Steady::time_point now);
  /// An operator: it is an outage after all. False: it was not ruled to be poison.
  bool rule_outage(const std::string& fingerprint, Steady::time_point now);

  /// A ruling ends when nothing has failed so for a window.
  FloodState state(Steady::time_point now) const;
  /// Of the outage, else what was ruled to be poison last.
  std::optional<std::string> fingerprint(Steady::time_point now) const;

 private:
  struct Slice {
    std::int64_t number = 0;
    FirstTries tries;
  };
  static constexpr int slices = 10;
  static constexpr std::size_t most_causes = 100;  // of a slice: messages that vary beyond what is normalised

  std::int64_t slice_of(Steady::time_point now) const;
  bool poison(const std::string& fingerprint, Steady::time_point now) const;

  FloodPolicy policy_;
  std::deque<Slice> window_;
  std::optional<std::string> outage_;
  std::map<std::string, Steady::time_point> poison_;  // and when it was seen last
  Steady::time_point last_held_{};
};

}  // namespace deja::core
