#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/key_change.h"
#include "core/lane_history.h"
#include "core/uuid.h"
#include "postgres/connection.h"

// What an audit asks the database. Nothing here locks a row or writes.

namespace deja::postgres {

struct AuditLane {
  std::int32_t id = 0;
  std::string topic;
  std::int32_t partition = 0, lane = 0, lane_count = 1;
  std::int64_t start_offset = 0, next_offset = 0, reread_until = 0, next_event_seq = 1, published_seq = 0;
  core::Uuid incarnation;
  std::string ordering;  ///< in words, as core::LaneMap has it
  core::LaneHistory history;
  struct Aside {
    std::int64_t seq = 0;
    bool discarded = false;
  };
  std::vector<Aside> set_aside;  ///< events that Kafka refused and those behind them (O2), by their numbers
};

/// Which dead letters and parked records concern the log of now.
struct Incarnation {
  std::int32_t partition = 0;
  core::Uuid uuid;
};

/// Key rows that name records of `lane` from `from` on, below `until`, and are of the log since `since` (core::LaneHistory).
struct KeyRowRange {
  std::int32_t lane = 0;
  std::int64_t from = 0, until = 0;
  std::string since;
};

struct KeyRow {
  core::Uuid key;
  std::int32_t lane = 0;
  std::int64_t offset = 0, digest = 0;
  bool recent = false;  ///< so new that what was read before may have known nothing of it
};

/// Thousands of records at once: what the database holds about them that is not "the key's row names this record".
struct AuditProbe {
  struct Record {
    core::Uuid key;
    std::int64_t digest = 0;
    std::int32_t lane = 0;
    std::int64_t offset = 0;
    std::string_view since = "-infinity";  // an older row is of the log before
  };
  std::vector<Record> records;  // those with a key
  struct Span {
    std::int32_t partition = 0;
    std::int64_t first = 0, last = 0;
  };
  std::vector<Span> spans;  // dead letters and parked records are looked for in these
};
struct AuditProbeResult {
  struct KeyRowElsewhere {
    std::size_t record = 0;  // index into AuditProbe::records
    std::int64_t digest = 0;
    std::int32_t lane = 0;
    std::int64_t offset = 0;
    bool found = false;  // false: the key has no row
    bool older = false;  // than the record's `since`
  };
  std::vector<KeyRowElsewhere> others;
  struct Letter {
    std::int32_t partition = 0;
    std::int64_t offset = 0, record_timestamp = 0;
    core::Uuid incarnation;
    std::string status, cause;
    int effect = 0;  // of one that was edited and replayed, under its key: 1 another record's, 2 its own
  };
  std::vector<Letter> letters;
  struct Parked {
    std::int32_t partition = 0;
    std::int64_t offset = 0, record_timestamp = 0;
    core::Uuid incarnation;
  };
  std::vector<Parked> parked;
};

/// A key of a record that has neither an effect nor a row of its own.
struct UnprovedKey {
  core::Uuid key;
  std::int64_t digest = 0;
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  core::Uuid incarnation;
  bool reread = false;  // then its twin may come after it
};
struct KeyTwin {
  std::size_t of = 0;         // index
  bool same_digest = false;
};

/// Threading: one thread.
class AuditStore {
 public:
  AuditStore(Connection& connection, std::string schema);

  /// Groups that have lanes, and the topics of each. Empty arguments: all.
  std::vector<std::pair<std::string, std::string>> topics(const std::string& group, const std::string& topic);
  std::optional<core::KeyRecipes> recipes(const std::string& group, const std::string& topic);
  /// All of the group with what operators did to them, in one snapshot.
  std::vector<AuditLane> lanes(const std::string& group);
  std::vector<std::string> event_topics(const std::string& group);
  std::vector<Incarnation> incarnations(const std::string& group, const std::string& topic);

  /// Settings for probe(): each of its plans goes by index, whatever the statistics say. Not for the other questions.
  void prepare_for_probes();
  /// One statement, so one snapshot.
  AuditProbeResult probe(const std::string& group, const std::string& topic, const std::vector<Incarnation>& incarnations, const AuditProbe& wanted);

  /// Those of the keys under which another record of the partition is parked or a dead letter. One statement.
  std::vector<KeyTwin> twins(const std::string& group, const std::string& topic, const std::vector<UnprovedKey>& keys);

  /// How many key rows the lanes have in these ranges.
  std::int64_t count_key_rows(const std::vector<KeyRowRange>& ranges);
  /// All of them, one table of keys after the other; `next_table` between two.
  void key_rows(const std::vector<KeyRowRange>& ranges, const std::function<void(const KeyRow&)>& visit, const std::function<void()>& next_table);

  struct Waiting {
    std::int64_t published_seq = 0;
    std::vector<std::int64_t> in_outbox;  // sorted
  };
  /// Which of the events are in the outbox, and how far the lane is published, in one snapshot.
  Waiting waiting(std::int32_t lane, const std::vector<std::int64_t>& numbers);

 private:
  std::string sql(std::string_view text) const;
  void read_set_aside(const std::string& group, std::vector<AuditLane>& lanes);
  void read_moves(const std::string& group, std::vector<AuditLane>& lanes);
  const std::vector<std::string>& key_tables();
  std::string all_keys();

  Connection& connection_;
  std::string schema_;
  std::vector<std::string> key_tables_;
};

}  // namespace deja::postgres
