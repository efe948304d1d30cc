#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/parked_set.h"
#include "core/source_record.h"
#include "core/uuid.h"
#include "postgres/connection.h"
#include "postgres/lane_store.h"
#include "postgres/records_of_lanes.h"

namespace deja::postgres {

/// Why a record failed last.
struct ParkedFailure {
  std::string cause, stage, error, fingerprint;
};

/// A record on its way to the table. Views stay valid while the batch runs.
struct NewParked {
  const core::SourceRecord* record = nullptr;
  std::string handler;
  std::optional<std::uint64_t> ordering;
  std::optional<core::Uuid> key, previous_key;
  std::optional<std::string> idempotency_key;  // as it came
  std::optional<std::int64_t> digest;
  /// Nothing: it waits behind another record of its ordering key, without having run.
  std::optional<ParkedFailure> failure;
  std::chrono::milliseconds delay{0};
};

/// A parked record with all that is needed to run it.
struct ParkedRow {
  std::int64_t id = 0;
  core::SourceRecord record;  // owns its bytes; view.attempt is the one that it is about to make
  core::Uuid incarnation;
  std::optional<std::uint64_t> ordering;
  std::int32_t attempts = 0, starts = 0;
  std::chrono::milliseconds waited{0};
  std::string first_seen;                      // as Postgres writes and reads it
  std::optional<std::string> first_failed_at;
  std::string wanted, wanted_reason;           // by an operator: dead-letter or discard
  std::string failures;                        // the last attempts that failed, a JSON array
  std::optional<std::string> redirected_to;    // the handler that runs it, instead of its topic's
  /// Of one that is replayed.
  struct Replay {
    std::int64_t dead_letter = 0;
    std::int32_t attempts_before = 0;  // of `attempts`
    /// Of one that was edited: what its bytes were known by before.
    struct Kept {
      std::optional<core::Uuid> key, previous_key;
      std::string raw_key;
      std::int64_t digest = 0;
    };
    std::optional<Kept> kept;
  };
  std::optional<Replay> replay;
};

/// What the owner remembers of a row, and the time until it is due by the database's clock.
struct ParkedSummary {
  core::ParkedRecord record;                        // without its `due`
  std::optional<std::chrono::milliseconds> due_in;  // not above 0: now
};

/// An ordering key that a dead letter holds (dlq.order = hold), and that one's offset; -1: in a log before.
using HeldOrdering = std::pair<std::uint64_t, std::int64_t>;

/// All that the owner of a lane remembers of parked records.
struct ParkedView {
  std::vector<ParkedSummary> rows;  // heads of their ordering keys with the time until they are due
  std::vector<HeldOrdering> held;
};

/// Parked records of one group. Only a lane's owner calls what writes, inside its batch transaction, unless said otherwise.
class ParkedStore {
 public:
  ParkedStore(std::string schema, std::string group, std::string build);

  /// All of a lane, and where `holds` the ordering keys that its dead letters hold.
  ParkedView load(Connection& c, std::int32_t lane, bool holds) const;
  /// At most so many rows behind a head run with it.
  static constexpr std::size_t longest_run = 100;
  /// Rows that are gone are left out; in the order of `ids`.
  std::vector<ParkedRow> read(Connection& c, std::int32_t lane, const std::vector<std::int64_t>& ids) const;
  /// The same, each head followed by up to `behind` rows of its ordering key, in the order of the log, while all together are not larger than `bytes`.
  std::vector<ParkedRow> read_runs(Connection& c, std::int32_t lane, const std::vector<std::int64_t>& ids, std::size_t behind, std::size_t bytes) const;
  struct Look {
    std::int32_t starts = 0;
    std::string wanted;
  };
  /// Those that may still be run, or that an operator wants something of. `runs`: some of them are not heads, and may be run where all
  /// rows before them are among `ids`, too.
  std::unordered_map<std::int64_t, Look> look(Connection& c, std::int32_t lane, const std::vector<std::int64_t>& ids, bool runs) const;
  /// Offsets of the partition's records from `first` to before `until` that have a row.
  std::vector<std::int64_t> offsets(Connection& c, const LaneState& lane, std::int64_t first, std::int64_t until) const;

  /// Returns the ids in the order of `records`.
  std::vector<std::int64_t> insert(Connection& c, const LaneState& lane, const std::vector<NewParked>& records) const;
  /// An attempt failed, and another one follows.
  void again(Connection& c, std::int64_t id, const ParkedFailure& failure, std::chrono::milliseconds delay) const;
  /// They had their dispositions. Where no record of these ordering keys may run, the first one is due now: returns those.
  std::vector<std::int64_t> remove(Connection& c, std::int32_t lane, const std::vector<std::int64_t>& ids, const std::vector<std::uint64_t>& orderings) const;
  /// A transaction of its own: the owner before did not hand over in order, and may have had any of those that are due under way, with
  /// those that run with them (R1).
  /// False: fenced.
  bool mark_suspects(Connection& c, const LaneState& lane) const;
  /// A transaction of its own: marks anew which rows may run, since the owner before had another dlq.order. False: fenced.
  bool mark_heads(Connection& c, const LaneState& lane, bool holds) const;
  /// A transaction of its own: the record has been started alone so many times (R1).
  enum class Noted { yes, gone, fenced };  ///< gone: an operator took the row away
  Noted note_start(Connection& c, const LaneState& lane, std::int64_t id, std::int32_t starts) const;

  /// Of these ordering keys those that dead letters hold.
  std::vector<HeldOrdering> held(Connection& c, std::int32_t lane, const std::vector<std::uint64_t>& orderings) const;

  /// A transaction of its own: so many failed attempts of these rows do not count. False: fenced.
  bool give_back(Connection& c, const LaneState& lane, const std::map<std::int64_t, std::int32_t>& attempts) const;

  std::vector<WaitingRecords> count(Connection& c, const std::vector<std::int32_t>& lanes) const;

 private:
  static std::vector<ParkedRow> rows_of(const pqxx::result& found);

  std::string schema_, group_, build_, load_, read_, read_runs_, look_, look_runs_, offsets_, again_, remove_, promote_, held_, unmark_, holds_, lock_, give_back_, suspects_, start_, count_;
};

}  // namespace deja::postgres
