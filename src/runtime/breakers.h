#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/breaker.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/status.h"

namespace deja::runtime {

/// What a handler needs and was refused: the breaker of a dependency that it named in Unavailable, or that its flood guard lets it go on.
struct Need {
  std::string dependency, handler;
  bool flood = false;  ///< then without a dependency; one refusal opens it, and it is shown by the flood guard
  auto operator<=>(const Need&) const = default;
};

/// The breakers of a process. Any thread. Logs and measures each change once.
class Breakers {
 public:
  /// `wall` tells the time of day, for people.
  Breakers(core::BreakerPolicy policy, core::Log& log, core::Metrics& metrics, std::function<std::int64_t()> wall = {});

  core::Breaker::Turn ask(const Need& need, core::Breaker::Caller caller, core::Steady::time_point now);
  /// Returns the state after it.
  core::BreakerState failed(const Need& need, core::Breaker::Caller caller, core::Steady::time_point now, double chance,
                            std::chrono::milliseconds at_least, const std::string& cause);
  void succeeded(const Need& need, core::Breaker::Caller caller);
  /// The turn is given back without a result.
  void give_back(const Need& need, core::Breaker::Caller caller);
  /// The caller asks no more. True: nobody does, so that the breaker is closed.
  bool left(const Need& need, core::Breaker::Caller caller);
  /// An operator says that it is back. False: there is no such breaker.
  bool reset(const Need& need);
  /// Those that had a failure once.
  std::vector<core::BreakerStatus> all() const;

 private:
  struct Entry {
    core::Breaker breaker;
    std::set<core::Breaker::Caller> callers;  // who was refused and waits
    core::BreakerState shown = core::BreakerState::closed;
    std::int64_t since_ms = 0;
    std::string cause;
  };
  Entry& entry(const Need& need);
  void show(const Need& need, Entry& entry);
  void measure(const std::string& dependency);

  const core::BreakerPolicy policy_;
  core::Log& log_;
  core::Metrics& metrics_;
  const std::function<std::int64_t()> wall_;
  mutable std::mutex mutex_;
  std::map<Need, Entry> entries_;
};

}  // namespace deja::runtime
