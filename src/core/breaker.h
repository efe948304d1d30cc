#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string_view>

#include "core/clock.h"

namespace deja::core {

struct BreakerPolicy {
  std::int32_t failures = 5;                  ///< in a row, by whomever
  std::chrono::milliseconds open_for{10000};  ///< before the next probe, and up to a quarter more, so that the processes of a fleet do not probe together
};

enum class BreakerState { closed, half_open, open };

constexpr std::string_view in_words(BreakerState state) {
  return state == BreakerState::closed ? "closed" : state == BreakerState::open ? "open" : "half_open";
}

/// A circuit breaker: so many failures in a row open it; while it is open nobody calls; after a time one caller probes with one record,
/// and its outcome closes or opens it. Only callers that were refused before ask, so that whoever does not need what is away is not
/// held up. Nothing here does I/O; the caller gives time and chance.
/// Source of the states: M. Nygard, "Release It!", 2nd edition, 2018, "Circuit Breaker".
class Breaker {
 public:
  using Caller = const void*;

  explicit Breaker(BreakerPolicy policy = {}) : policy_(policy) {}

  struct Turn {
    bool allowed = false;
    bool probe = false;         ///< with a single record
    Steady::time_point again{};  ///< when not allowed: when a probe is due, or when to ask whether it has an answer
  };
  Turn ask(Caller caller, Steady::time_point now) {
    if (state_ == BreakerState::closed) return {true, false, {}};
    if (state_ == BreakerState::open && now < open_until_) return {false, false, open_until_};
    if (state_ == BreakerState::half_open && prober_ != nullptr && prober_ != caller) return {false, false, now + look_again()};
    state_ = BreakerState::half_open;
    prober_ = caller;
    return {true, true, {}};
  }

  /// `chance` in [0, 1); `at_least`: the dependency said when it wants to be asked again.
  void failed(Caller caller, Steady::time_point now, double chance, std::chrono::milliseconds at_least = {}) {
    if (failures_ < policy_.failures) ++failures_;
    const bool probe_failed = state_ == BreakerState::half_open && prober_ == caller;
    if (probe_failed || (state_ == BreakerState::closed && failures_ >= policy_.failures)) {
      state_ = BreakerState::open;
      prober_ = nullptr;
      const auto jitter = std::chrono::milliseconds(static_cast<std::int64_t>(static_cast<double>(policy_.open_for.count()) * chance / 4));
      open_until_ = now + std::max(policy_.open_for + jitter, at_least);
    } else if (state_ == BreakerState::open) {
      open_until_ = std::max(open_until_, now + at_least);  // was on its way when it opened
    }
  }

  /// What failed before went through. While it is open, or somebody else probes, that was on its way before and says little.
  void succeeded(Caller caller) {
    if (state_ == BreakerState::closed || prober_ == caller) close();
  }

  /// The caller asks no more: it handed its work over.
  void left(Caller caller) {
    if (prober_ == caller) prober_ = nullptr;
  }

  /// By an operator.
  void close() {
    state_ = BreakerState::closed;
    failures_ = 0;
    prober_ = nullptr;
  }

  BreakerState state() const { return state_; }

 private:
  std::chrono::milliseconds look_again() const { return std::clamp(policy_.open_for / 10, std::chrono::milliseconds(5), std::chrono::milliseconds(500)); }

  BreakerPolicy policy_;
  BreakerState state_ = BreakerState::closed;
  std::int32_t failures_ = 0;
  Caller prober_ = nullptr;
  Steady::time_point open_until_{};
};

}  // namespace deja::core
