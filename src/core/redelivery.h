#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/backoff.h"

// What becomes of a record whose handler did not return: one table, nothing here does I/O.

namespace deja::core {

/// What went wrong with a record, or with the batch around it.
enum class Trouble {
  rejected,        ///< the handler threw deja::Reject
  exception,       ///< anything else, an int too
  final_exception, ///< one that the handler declares as final
  at_commit,       ///< a violation that shows only at COMMIT
  too_slow,        ///< the handler returned after handler.timeout.ms
  oversized,       ///< an event of it is larger than Kafka takes
  undecodable,     ///< a key function threw
  key_missing,
  conflict,        ///< its key came first with another payload
  killed_process,  ///< the process ended whenever it ran alone
  killed_connection,  ///< the link to Postgres was lost whenever it ran alone
  by_operator,
  no_room,         ///< it would be parked, a bound is reached, and park.policy is dead
  unavailable,     ///< the handler threw deja::Unavailable
  breaker_open,
  database_away,   ///< the link is lost or refused
  repeat,          ///< deadlock, serialization failure, lock not to be had
  no_permission,
  schema_mismatch,
};

enum class Action {
  dead,     ///< a dead letter at once
  attempt,  ///< an attempt is spent: parked for another one, or dead when none is left
  pause,    ///< the lane waits; nothing is spent
  again,    ///< the batch at once again; nothing is spent
  stop,     ///< the process ends and names the cause
};

struct TroubleRow {
  Trouble trouble;
  Action action;
  std::string_view cause;  ///< of the dead letter that it becomes, now or when no attempt is left
  std::string_view stage;
  std::string_view what;   ///< in words, for people
};
/// Every trouble once, in the order of the enumeration.
std::span<const TroubleRow> trouble_table();
const TroubleRow& row_of(Trouble trouble);

struct RetryPolicy {
  std::int32_t max_attempts = 5;
  BackoffPolicy backoff;
  std::chrono::milliseconds deadline{3'600'000};
};

/// What a record has spent so far.
struct Spent {
  std::int32_t attempts = 0;               ///< that failed, before this one
  std::chrono::milliseconds waited{0};     ///< the delays it was given: not what it waited beyond them, in an outage for example (R2)
};

struct Decision {
  Action action = Action::dead;            ///< `attempt`: it is tried again after `delay`; never when none is left
  std::string_view cause;                  ///< of the dead letter
  std::chrono::milliseconds delay{0};
};
/// `unit` is uniform in [0, 1).
Decision decide(const RetryPolicy& policy, Trouble trouble, const Spent& spent, double unit);

}  // namespace deja::core
