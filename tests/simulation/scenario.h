#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "core/breaker.h"
#include "core/clock.h"
#include "core/redelivery.h"
#include "core/retry_budget.h"
#include "core/uuid.h"

// What a seed decides on before anything runs: settings, the log, what each record does to its handler, and the faults.

namespace deja::simulation {

using std::chrono::milliseconds;
using Time = core::Steady::time_point;

constexpr Time at(milliseconds since_start) { return Time{} + since_start; }

/// All of a schedule's chance comes from its seed.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : engine_(seed * 0x9E3779B97F4A7C15U + 1) {}
  double unit() { return static_cast<double>(engine_() >> 11) * 0x1.0p-53; }
  bool chance(double probability) { return unit() < probability; }
  /// Both ends are in.
  std::int64_t between(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(engine_() % static_cast<std::uint64_t>(high - low + 1));
  }
  milliseconds time(std::int64_t low, std::int64_t high) { return milliseconds(between(low, high)); }
  template <typename T>
  const T& one_of(const std::vector<T>& list) {
    return list[static_cast<std::size_t>(between(0, static_cast<std::int64_t>(list.size()) - 1))];
  }

 private:
  std::mt19937_64 engine_;
};

/// What the handler does with a record.
struct Script {
  static constexpr std::int32_t always = std::numeric_limits<std::int32_t>::max();
  std::int32_t throws = 0;          ///< on so many attempts
  std::int32_t kills = 0;           ///< so many calls end the process
  bool rejects = false;
  bool writes_first = false;        ///< statements were sent before it throws: another pass, with savepoints
  std::optional<int> dependency{};  ///< it calls one, and is refused while that is away
};

struct LogRecord {
  std::size_t number = 0;  // over all partitions
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  std::optional<std::string> ordering_key{};
  std::optional<std::uint64_t> ordering{};
  core::Uuid key;
  std::int64_t digest = 0;
  Time produced;
  Script script;
};

struct Outage {
  int dependency = 0;
  Time from, until;
};

struct Fault {
  enum class Kind { crash, freeze, rebalance, leave, retry_now, dead_letter, discard };
  Kind kind = Kind::crash;
  Time when;
  milliseconds lasts{0};
};

struct Settings {
  std::int32_t partitions = 1, lanes = 1;  // lanes of a partition
  int processes = 1;
  std::size_t batch_max = 8;
  core::RetryPolicy retry;
  std::size_t park_max = 10'000, park_key_max = 1'000;
  bool park_or_die = false;
  std::int32_t crash_max_starts = 3;
  core::BreakerPolicy breaker;
  core::RetryBudget budget;
  milliseconds session_timeout{800};
  milliseconds call{5};  // of a batch, at most
  double repeats = 0, lost_replies = 0;
};

struct Scenario {
  std::uint64_t seed = 0;
  Settings settings;
  std::vector<LogRecord> log;  // by partition, then by offset
  std::vector<Outage> outages;
  std::vector<Fault> faults;
};

Scenario scenario_of(std::uint64_t seed);

/// In milliseconds of the schedule, for people.
std::string text(Time time);
std::string text(const LogRecord& record);

}  // namespace deja::simulation
