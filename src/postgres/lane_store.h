#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/lane_map.h"
#include "core/suspects.h"
#include "core/uuid.h"
#include "postgres/connection.h"

// The lane row: fencing, progress and event numbers. Rules L1-L3, L5-L8, L10 and B1-B2.

namespace deja::postgres {

struct LaneName {
  std::string group, topic;
  std::int32_t partition = 0, lane = 0;
};

/// Identifies the last record the owner of a lane saw below next_offset, to notice later that the log is another one (L6).
struct Witness {
  std::int64_t offset = -1;
  std::int32_t leader_epoch = -1;  // -1: not known
  std::int64_t timestamp_ms = -1;
  std::string digest;  // 8 bytes
};

struct LaneState {
  std::int32_t id = 0;
  std::string token;  // of the owner
  std::int64_t owner_epoch = 0, batch_seq = 0, next_offset = 0, next_event_seq = 1, published_seq = 0, parked_version = 0;
  core::Uuid incarnation;
  bool was_clean = true;  // the owner before handed over in order
  std::optional<Witness> witness;
  std::int64_t reread_until = 0;  // records below it were consumed before a reset
  core::SuspectMark suspects;     // as this owner found them
  // An operator's orders.
  std::string pause_reason;  // empty: not paused
  std::int64_t dead_letter_at = -1;
  std::string dead_letter_reason;
  bool holds = false;  // its parked records are marked as dlq.order = hold wants it
};

struct LaneAdvance {
  std::int64_t next_offset = 0;
  std::optional<Witness> witness;  // absent: the one in the row stays
  std::int64_t published_seq = 0;
  bool clean = false;
  std::int64_t records = 0;        // of the lane, that have their outcomes with it
};

/// What a batch learns when its compare-and-set fits.
struct BatchStart {
  std::int64_t next_event_seq = 1, parked_version = 0;
  int open_segment = 0;
};

/// The lanes of a partition cannot be counted or ordered anew now; what() says why and what to do.
struct LaneMapRefused : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class LaneStore {
 public:
  LaneStore(std::string schema, std::string instance);

  /// Waits for the old owner's transaction in flight. Nothing: there is no row yet. A partition whose lanes map otherwise is brought
  /// to `map` first, where that is safe; throws LaneMapRefused where it is not (L5). After an owner that did not hand over in order
  /// the next `suspects` records of the lane are suspect (R1).
  std::optional<LaneState> take_over(Connection& c, const LaneName& name, const core::LaneMap& map = {}, std::int32_t suspects = 0) const;
  /// Ends the session that holds the lane's row when it is one of deja's own that sits idle in its transaction for `idle` or longer:
  /// its process stands still, and what it has not committed is rolled back (L10). Returns its process id, 0: there is none.
  int end_idle_holder(Connection& c, const LaneName& name, std::chrono::milliseconds idle) const;
  bool any_row_of_topic(Connection& c, const LaneName& name) const;
  /// Makes the rows of a partition's lanes unless somebody else was faster.
  void create(Connection& c, const LaneName& name, std::int64_t start_offset, const core::LaneMap& map = {}) const;
  /// Makes the rows of a topic that has none yet, partition 0 first, all or nothing: where a group starts is decided once (L8).
  void create_all(Connection& c, const std::string& group, const std::string& topic, const std::vector<std::int64_t>& start_offsets,
                  const core::LaneMap& map = {}) const;
  /// The row under its lock, so after any transaction in flight: settles a commit of unknown outcome.
  LaneState read_locked(Connection& c, std::int32_t id) const;

  /// BEGIN and the compare-and-set on (token, batch_seq, next_offset), which opens the lane. Nothing: fenced (rolled back).
  std::optional<BatchStart> begin(Connection& c, const LaneState& row, const LaneAdvance& advance) const;
  /// A transaction of its own: the record at `offset` was started alone for the `starts`-th time (R1). batch_seq stays, so that it may be
  /// repeated. False: fenced.
  bool note_start(Connection& c, const LaneState& row, std::int64_t offset, std::int32_t starts) const;
  /// The last framework statement: closes the lane and takes `events` numbers.
  std::string close_sql(const LaneState& row, std::int64_t events) const;
  /// A transaction that only marks: published events, a clean hand-over. False: fenced.
  bool mark(Connection& c, const LaneState& row, const LaneAdvance& advance) const;

  struct IdleLane {
    LaneState row;
    std::int64_t next_offset = 0;  // where it moves to
    std::optional<Witness> witness;
  };
  /// Moves lanes on over what is not theirs, all in one statement (L7). Returns the ids of those that moved; one that is locked or
  /// not as its owner left it stays.
  std::vector<std::int32_t> advance_idle(Connection& c, const std::vector<IdleLane>& lanes) const;

  struct Seen {
    std::int32_t id;
    std::string token;
    std::int64_t batch_seq, parked_version;
  };
  /// What /status says of the lane, for `deja lanes`. Leaves a row alone that is locked or has another owner; no part of the protocol,
  /// so batch_seq stays.
  void show_pause(Connection& c, const LaneState& row, const std::string& cause, const std::string& blocked_by) const;
  std::vector<Seen> look(Connection& c, const std::vector<std::int32_t>& ids) const;

 private:
  void bring_to(Connection& c, const LaneName& name, const core::LaneMap& map) const;
  std::string sql(std::string_view text) const;
  std::string schema_, instance_;
  std::string partition_, partition_locked_, select_, take_, create_, join_, remap_, any_, lock_, look_, pause_, holder_, idle_, start_;
};

}  // namespace deja::postgres
