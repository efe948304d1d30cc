#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace deja::core {

/// What a lane row remembers of records that may have taken the process down.
struct SuspectMark {
  std::int64_t from = -1;     ///< the record that was started alone last; -1: none
  std::int32_t records = 0;   ///< so many of the lane's next records run alone: records and not offsets, for those of a lane have gaps
  std::int32_t starts = 0;    ///< of the record `from`
};

/// Rule R1 for one lane under one owner: after an owner that did not hand over in order, the records that it may have had under way run
/// one at a time, each with its start committed before. A record that the row already has so many starts of is not run again. A start
/// is taken back when the process outlived it without a result. Nothing here does I/O.
class Suspects {
 public:
  Suspects() = default;
  explicit Suspects(const SuspectMark& row) : row_(row) {}

  bool alone() const { return row_.records > 0; }
  bool dead(std::int64_t offset, std::int32_t max_starts) const { return alone() && before(offset) >= max_starts; }
  /// Starts to commit before the record at `offset` runs; nothing: this owner did already, or it need not.
  std::optional<std::int32_t> start_of(std::int64_t offset) const {
    if (!alone() || started_ == offset) return std::nullopt;
    return before(offset) + 1;
  }
  void started(std::int64_t offset) { started_ = offset; }
  /// The lane's next records had their outcomes.
  void committed(std::size_t records) { row_.records -= std::min(row_.records, static_cast<std::int32_t>(records)); }

  struct Refund {
    std::int64_t offset = 0;
    std::int32_t starts = 0;
  };
  /// What to write when the record at `offset` will not be tried again soon; nothing: its start is not on record.
  std::optional<Refund> refund(std::int64_t offset) const {
    if (started_ != offset) return std::nullopt;
    return Refund{offset, before(offset)};
  }
  void refunded() { started_.reset(); }

 private:
  std::int32_t before(std::int64_t offset) const { return row_.from == offset ? row_.starts : 0; }

  SuspectMark row_;
  std::optional<std::int64_t> started_;  // under this owner
};

}  // namespace deja::core
