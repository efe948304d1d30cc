#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "core/redelivery.h"

namespace deja::core {

/// A record fails with this, without being run.
struct ForcedFailure {
  Trouble trouble = Trouble::at_commit;
  std::string error;
};

/// R1: it ran alone so many times, and each time the process ended.
ForcedFailure killed(std::int32_t starts);
/// R3: the same of the link to Postgres.
ForcedFailure killed_connection(std::int32_t losses);

/// How the next try at the front of a lane's records is made.
struct BatchShape {
  std::size_t records = 0;
  bool savepoints = false;
  std::optional<ForcedFailure> forced;  // of the only record
};

/// What a try with savepoints made of them.
struct SavepointUse {
  std::size_t kept = 0;
  bool needed = false;  // without them it would have been rolled back whole
};

/// Decides, from what happened to the tries before, how a lane runs its records: all at once while all is well; with savepoints when
/// one failed; one alone when a failure shows only at COMMIT. Nothing here does I/O.
class BatchPlan {
 public:
  /// Beyond so many sub-transactions that are kept Postgres' cache of them overflows (PGPROC_MAX_CACHED_SUBXIDS).
  static constexpr std::size_t subtransaction_cache = 64;
  /// Records of a try with savepoints, while they share few.
  static constexpr std::size_t most_with_savepoints = 512;
  /// After a try that needed its savepoints so many begin with them: a try without them would be in vain.
  static constexpr std::uint32_t careful_tries = 8;
  /// From this many repeats in a row on, each halves the batch.
  static constexpr std::uint32_t halve_from = 3;

  BatchShape next(std::size_t available, std::int64_t first_offset) const;

  /// A record of the try failed after statements were sent; the try's last offset was `last_offset`.
  void needs_savepoints(std::int64_t last_offset);
  void failed_at_commit(std::size_t records, std::string error);
  /// Deadlock or serialization failure. Returns how many in a row.
  std::uint32_t repeat(std::size_t records);
  /// The record at `index` cannot run now: those before it need not wait.
  void stop_before(std::size_t index) { limit_ = index; }
  /// A handler call for `count` records from `first` on took too long: those before it are committed first, several are halved, and
  /// one alone fails with `error`.
  void too_slow(std::size_t first, std::size_t count, std::string error);
  /// A failure that was found without the record to blame having been run alone: it is run again.
  void forget_failure() { forced_.reset(); }
  /// The try was committed. `first_left`: the first offset that is left, if any.
  void committed(std::optional<std::int64_t> first_left, const SavepointUse& savepoints = {});
  void reset() { *this = BatchPlan(); }

 private:
  std::size_t limit_ = 0;  // 0: none
  std::int64_t savepoints_until_ = -1;
  std::size_t with_savepoints_ = most_with_savepoints;
  std::uint32_t careful_ = 0;
  std::optional<ForcedFailure> forced_;
  std::uint32_t repeats_ = 0;
};

}  // namespace deja::core
