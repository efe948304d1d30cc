#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "postgres/connection.h"

// What an operator does to the lanes of a partition: move them, all in one transaction. The owner finds its token gone and takes over
// again from the row.

namespace deja::postgres {

struct LanePartition {
  std::string group, topic;
  std::int32_t partition = 0;
};

struct LanePosition {
  std::int32_t lane = 0;
  std::int64_t next_offset = 0, next_event_seq = 1;
  bool owned = false;  ///< a program works on it, or ended without handing over
  std::optional<std::string> paused_cause, blocked_by, pause_reason;
  std::optional<std::int64_t> dead_letter_at;  ///< ordered, and not yet done
};

/// What deja did with the records of a range of offsets.
struct RangeContent {
  std::int64_t known_keys = 0;    ///< records whose own key is known, by either recipe
  std::int64_t dead_letters = 0;  ///< in the present incarnation, whatever their status
  std::int64_t parked = 0;        ///< in the present incarnation
};

/// Threading: one thread. Errors: whatever libpqxx throws.
class LaneMoves {
 public:
  /// First in a transaction that takes the rows: a batch under way holds its lanes until its handlers are done.
  static constexpr const char* patient = "SET LOCAL lock_timeout = '30s'";
  explicit LaneMoves(std::string schema);

  std::vector<std::int32_t> partitions(Connection& c, const std::string& group, const std::string& topic) const;
  /// In the order of the lanes, without retired ones.
  std::vector<LanePosition> lanes(Connection& c, const LanePartition& partition) const;
  /// `with_keys` reads every key there is: not for a transaction that holds locks.
  RangeContent content(Connection& c, const LanePartition& partition, std::int64_t from, std::int64_t until, bool with_keys) const;
  struct KeyFree {
    bool now = false;     ///< the handler identifies records by their offset alone, so that it would handle them again
    bool before = false;  ///< it did so by the recipe before: what it handled then has no key
  };
  KeyFree key_free(Connection& c, const std::string& group, const std::string& topic) const;

  // In the caller's transaction.
  /// The same under the rows' locks, taken in the order of the lanes. Waits for batches in flight.
  std::vector<LanePosition> lock(Connection& c, const LanePartition& partition) const;
  /// Records below `reread_until` were consumed before (D2).
  void reset(Connection& c, const LanePartition& partition, std::int64_t next_offset, std::int64_t reread_until) const;
  /// From now on the log is another one. `never_back`: lanes beyond `next_offset` stay where they are. Returns the new incarnation.
  std::string accept_loss(Connection& c, const LanePartition& partition, std::int64_t next_offset, bool never_back) const;
  /// The lanes stand still until resumed, over restarts and take-overs. `lane` absent: all of the partition.
  void pause(Connection& c, const LanePartition& partition, std::optional<std::int32_t> lane, const std::string& reason) const;
  void resume(Connection& c, const LanePartition& partition, std::optional<std::int32_t> lane) const;
  /// The record at `offset` is not run: it becomes a dead letter once all before it in its lane are done. One such order at a time.
  void dead_letter(Connection& c, const LanePartition& partition, std::optional<std::int32_t> lane, std::int64_t offset, const std::string& reason) const;
  /// Of the record's dead letter, if it is one.
  std::optional<std::int64_t> dead_letter_id(Connection& c, const LanePartition& partition, std::int64_t offset) const;

 private:
  std::string sql(std::string_view text) const;
  std::string schema_;
};

}  // namespace deja::postgres
