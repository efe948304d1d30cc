#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/flood_guard.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/status.h"

namespace deja::runtime {

/// The flood guards of a process's handlers. Any thread. Logs and measures each change once.
class Floods {
 public:
  /// `probes_every`: how often a record that waits is tried. `wall` tells the time of day, for people.
  Floods(core::FloodPolicy policy, std::chrono::milliseconds probes_every, const core::Clock& clock, core::Log& log, core::Metrics& metrics,
         std::function<std::int64_t()> wall = {});

  /// Makes its gauge.
  void add(const std::string& handler);

  /// Whether `tries`, were they committed, would make a flood of this cause; then it is one. `words`: of each cause in `tries`.
  std::optional<std::string> trips(const std::string& handler, const core::FirstTries& tries, const std::map<std::string, std::string>& words);
  void delivered(const std::string& handler, const core::FirstTries& tries, const std::vector<std::string>& failed_again);
  /// A record that failed so waits: it is an outage. Returns what is said of it.
  std::optional<std::string> holds(const std::string& handler, const std::string& fingerprint);
  void over(const std::string& handler);
  /// Ends what nothing waits for any more.
  void forget();

  std::chrono::milliseconds window() const { return policy_.window; }
  /// How often a guard tripped.
  std::uint64_t trips_so_far() const { return trips_; }
  struct Trip {
    std::string fingerprint;
    core::Steady::time_point at;
  };
  std::optional<Trip> last_trip(const std::string& handler) const;

  /// False: there is nothing to rule.
  bool rule_poison(const std::string& handler, const std::string& fingerprint);
  bool rule_outage(const std::string& handler, const std::string& fingerprint);

  /// Those that were needed once.
  std::vector<core::FloodStatus> all() const;

 private:
  struct Entry {
    core::FloodGuard guard;
    core::FloodState shown = core::FloodState::watching;
    bool needed = false;
    std::int64_t since_ms = 0;
    std::string cause, fingerprint;            // as shown
    std::map<std::string, std::string> words;  // by fingerprint, of what tripped it
    std::optional<Trip> last_trip;
  };
  Entry& entry(const std::string& handler);
  void show(const std::string& handler, Entry& entry);

  const core::FloodPolicy policy_;
  const std::chrono::milliseconds probes_every_;
  const core::Clock& clock_;
  core::Log& log_;
  core::Metrics& metrics_;
  const std::function<std::int64_t()> wall_;
  std::atomic<std::uint64_t> trips_{0};
  mutable std::mutex mutex_;
  std::map<std::string, Entry> entries_;
};

}  // namespace deja::runtime
