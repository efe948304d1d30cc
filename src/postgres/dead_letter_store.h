#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/dead_letter_notice.h"
#include "core/disposition.h"
#include "core/source_record.h"
#include "core/uuid.h"
#include "postgres/connection.h"
#include "postgres/lane_store.h"
#include "postgres/records_of_lanes.h"

namespace deja::postgres {

/// A record that could not be handled, as it is kept. Views stay valid while the batch runs.
struct NewDeadLetter {
  const core::SourceRecord* record = nullptr;
  std::string handler;
  std::optional<core::Uuid> key, previous_key;
  std::optional<std::string> idempotency_key;  // as it came
  std::optional<std::int64_t> digest;
  std::optional<std::uint64_t> ordering;
  std::string cause, stage, error, fingerprint;
  std::int32_t attempts = 1;
  std::optional<std::int32_t> conflict_lane;
  std::optional<std::int64_t> conflict_offset;
  // Of a record that was parked before.
  std::optional<core::Uuid> incarnation;
  std::optional<std::string> first_seen, first_failed_at;  // as Postgres writes and reads them
  std::string failures = "[]";                             // the attempts before this one, a JSON array
  bool discarded = false;                                  // an operator wants no effect of it
  std::optional<std::int64_t> replayed;                    // the row that it has already, of one that is replayed
  std::string event_topic;                                 // empty: nobody is told
};

/// A replay that ended without a dead letter.
struct EndedReplay {
  std::int64_t dead_letter = 0;
  core::Disposition outcome = core::Disposition::processed;
  std::optional<core::Uuid> key;               // that it ran under: its row may have had none
  std::optional<std::string> idempotency_key;  // as it came
  std::optional<std::int64_t> digest;
};



struct DeadLetterId {
  std::int64_t id = 0;
  std::int64_t offset = 0;
  std::string first_failed_at;  // RFC 3339, UTC
  std::int32_t replays = 0;
};

class DeadLetterStore {
 public:
  DeadLetterStore(std::string schema, std::string group, std::string build);

  /// Stores all in one statement; the ids come back by offset. A record that has a row already is left to it (D2).
  std::vector<DeadLetterId> insert(Connection& c, const LaneState& lane, const std::vector<NewDeadLetter>& letters) const;

  /// Replays that failed: their rows are open again.
  std::vector<DeadLetterId> open_again(Connection& c, const std::vector<NewDeadLetter>& letters) const;
  /// Replays that had their dispositions. Returns those that the dead-letter topic was told of.
  std::vector<core::DeadLetterNotice> end(Connection& c, const std::vector<EndedReplay>& replays) const;

  /// Offsets of the partition's records from `first` to before `until` that have a row already, whatever its status.
  std::vector<std::int64_t> offsets(Connection& c, const LaneState& lane, std::int64_t first, std::int64_t until) const;

  /// Open ones of these lanes, by topic and handler.
  std::vector<WaitingRecords> count(Connection& c, const std::vector<std::int32_t>& lanes) const;

 private:
  std::string schema_, group_, build_, count_, offsets_, again_, end_;
};

}  // namespace deja::postgres
