#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "core/uuid.h"

namespace deja::core {

/// What the owner of a lane remembers of a parked record.
struct ParkedRecord {
  std::int64_t id = 0, offset = 0;
  std::optional<std::uint64_t> ordering;  ///< hash of its ordering key; nothing: ordered with nothing
  std::optional<Uuid> key, previous_key;
  std::int64_t digest = 0;
  std::optional<Steady::time_point> due;  ///< nothing: it waits behind another one
  bool suspect = false;                   ///< an owner that died may have had it under way: it runs alone (R1)
  bool again = false;                     ///< it ran before: the retry budget is asked
  std::size_t size = 0;                   ///< bytes that it takes in memory when it runs, roughly
  bool tried = false;                     ///< under this owner: the flood guard counts it once
};

/// The parked records of a lane as its owner remembers them, so that live records need no look into the database: which ordering keys
/// have to wait, which payloads are there already, what is due. About 250 bytes for each, bounded by park.max.records; where dead letters
/// hold their ordering keys about 50 bytes for each of these keys, which nothing bounds. Nothing here does I/O.
class ParkedSet {
 public:
  void add(const ParkedRecord& record);
  void remove(std::int64_t id);
  void set_due(std::int64_t id, Steady::time_point due);
  /// It had an outcome under this owner.
  void failed_again(std::int64_t id);
  /// What `before` knows to have been tried was.
  void still_tried(const ParkedSet& before);
  /// dlq.order = hold: later records of this ordering key wait behind a dead letter at `offset`; -1: in a log before.
  void hold(std::uint64_t ordering, std::int64_t offset);
  /// No dead letter holds it any more.
  void release(std::uint64_t ordering) { held_.erase(ordering); }
  void clear() { *this = ParkedSet(); }

  bool empty() const { return records_.empty(); }
  std::size_t size() const { return records_.size(); }
  /// No record has to wait for another.
  bool nothing_waited_for() const { return records_.empty() && held_.empty(); }
  /// A dead letter before `offset` holds this ordering key.
  bool held(std::uint64_t ordering, std::int64_t offset) const;
  /// How many records of this ordering key there are.
  std::size_t count(std::uint64_t ordering) const;
  /// A record under this idempotency key with this payload.
  const ParkedRecord* twin(const Uuid& key, std::int64_t digest) const;
  const ParkedRecord* find(std::int64_t id) const;

  /// When the first one is due; nothing: none will be by itself. `again`: those that ran before, too.
  std::optional<Steady::time_point> next_due(bool again = true) const;
  /// Up to `most` that are due, those that wait longest first. One that is suspect is alone.
  std::vector<std::int64_t> due(Steady::time_point now, std::size_t most, bool again = true) const;

 private:
  void enter(const ParkedRecord& record);
  void leave(const ParkedRecord& record);

  std::unordered_map<std::int64_t, ParkedRecord> records_;
  std::unordered_map<std::uint64_t, std::size_t> by_ordering_;
  std::unordered_map<std::uint64_t, std::int64_t> held_;  // the first dead letter's offset
  std::unordered_multimap<Uuid, std::int64_t, UuidHash> by_key_;
  std::set<std::pair<Steady::time_point, std::int64_t>> due_, due_first_;  // due_first_: those of them that never ran
};

}  // namespace deja::core
