#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

// What /status, /health and the operators' questions show of a running program. Plain values; the runtime fills them.

namespace deja::core {

struct LaneStatus {
  std::string topic;
  std::int32_t partition = 0;
  std::int32_t lane = 0;
  std::string state;  // "taking over", "owned", "draining", "stopped"
  std::int64_t owner_epoch = 0;
  std::int64_t next_offset = -1;
  std::int64_t log_end_offset = -1;  // -1: not known yet
  std::int64_t queued_records = 0;
  std::int64_t parked_records = 0;
  std::int64_t next_event_seq = 0;
  std::int64_t published_seq = 0;
  bool waits_for_budget = false;  // parked records are due, and the retry budget is spent
  std::string paused_cause;  // empty: not paused
  std::string blocked_by;    // the dependency or record that holds it up
  double paused_seconds = 0;
};

struct DependencyStatus {
  std::string name;  // "postgres", "kafka", or what a handler named in Unavailable
  bool up = false;
  std::string cause;  // why not, in words
};

/// Of a handler, in the whole fleet, within the window of the retry budget.
struct BudgetStatus {
  std::string handler;
  std::int64_t tokens = 0;   // redeliveries that are allowed now
  double amplification = 1;  // handler calls for each first delivery
};

struct BreakerStatus {
  std::string dependency, handler;
  std::string state;          // "closed", "half_open", "open"
  std::int64_t since_ms = 0;  // of the Unix epoch
  std::string cause;          // what the handler said last
  bool operator==(const BreakerStatus&) const = default;
};

struct FloodStatus {
  std::string handler;
  std::string state;          // "watching", "outage", "poison"
  std::int64_t since_ms = 0;  // of the Unix epoch
  std::string cause, fingerprint;
  bool operator==(const FloodStatus&) const = default;
};

struct RecentDuplicate {
  std::string topic;
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  std::string cause;  // "producer"
  std::string first_topic;
  std::int32_t first_partition = 0;
  std::int64_t first_offset = 0;
  double age_seconds = 0;
};

struct Status {
  std::string group;
  std::string instance;
  std::string state;  // "starting", "running", "draining", "stopped"
  bool live = true;
  std::vector<std::string> not_ready;  // causes in words; empty: ready
  std::vector<LaneStatus> lanes;
  std::vector<DependencyStatus> dependencies;
  std::vector<BreakerStatus> breakers;
  std::vector<FloodStatus> floods;
  std::vector<BudgetStatus> budgets;
  std::vector<RecentDuplicate> last_duplicates;  // newest first, without their keys
};

using StatusSource = std::function<Status()>;

}  // namespace deja::core
