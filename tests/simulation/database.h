#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "core/parked_set.h"
#include "core/retry_budget.h"
#include "core/suspects.h"
#include "core/uuid.h"
#include "simulation/scenario.h"

// The tables that decisions rest on. Each call of the simulation is one transaction: nothing comes between its statements.

namespace deja::simulation {

struct LaneRow {
  std::int64_t token = 0;  // 0: it never had an owner
  std::int64_t batch_seq = 0, next_offset = 0, parked_version = 0;
  bool clean = false;
  core::SuspectMark suspects;

  friend bool fits(const LaneRow& a, const LaneRow& b) {
    return a.token == b.token && a.batch_seq == b.batch_seq && a.next_offset == b.next_offset;
  }
};

enum class Wanted { nothing, dead_letter, discard };

struct ParkedRow {
  std::int64_t id = 0;
  const LogRecord* record = nullptr;
  std::int32_t attempts = 0, starts = 0;
  milliseconds waited{0};
  std::optional<Time> next_at{};  // the head of its ordering key
  Time first_seen;
  bool suspect = false;
  Wanted wanted = Wanted::nothing;
};

/// As the owner of the lane remembers it.
core::ParkedRecord remembered(const ParkedRow& row, Time now);

struct KeyRow {
  std::int64_t digest = 0;
  const LogRecord* record = nullptr;
};

struct Database {
  struct Lane {
    LaneRow row;
    std::map<std::int64_t, ParkedRow> parked;  // by id

    /// The rows of its ordering key that come after it, in order.
    std::vector<const ParkedRow*> behind(const LogRecord& record) const;
  };
  std::vector<Lane> lanes;
  std::unordered_map<core::Uuid, KeyRow, core::UuidHash> keys;
  std::map<std::int64_t, core::RetryBudget::Spent> budget;  // by second
  std::int64_t next_token = 1, next_parked = 1;

  core::RetryBudget::Spent spent(Time now, std::chrono::seconds window) const;
};

/// Of the clock, which all share.
std::int64_t second_of(Time time);

}  // namespace deja::simulation
