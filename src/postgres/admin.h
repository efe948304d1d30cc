#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "postgres/connection.h"

// What operators ask the database. Read-only; one statement for each question; times are RFC 3339 in UTC.

namespace deja::postgres {

struct HandlerRow {
  std::string group, handler;
  std::vector<std::string> topics;
  std::string strategy, build;
  std::int64_t instances = 0;
  std::string last_seen;
};

struct LaneRow {
  std::string group, topic;
  std::int64_t partition = 0, lane = 0;
  std::optional<std::string> instance;
  std::int64_t owner_epoch = 0, next_offset = 0, parked = 0, published_seq = 0, next_event_seq = 0;
  std::optional<std::string> paused_cause, blocked_by, last_commit_at;
};

struct OutboxRow {
  std::string group, topic;
  std::int64_t partition = 0, lane = 0, unpublished = 0;
  std::optional<double> oldest_age;  ///< seconds
  std::optional<std::string> stuck_cause;  ///< what Kafka said last of events that were set aside
  std::int64_t stuck = 0;                  ///< events that were set aside
};

/// Of the processes that are alive, the worst.
struct BreakerRow {
  std::string dependency, handler, state, since;
  std::optional<std::string> cause;
};

/// Of the processes that are alive, the worst for each cause.
struct FloodRow {
  std::string handler, state, since;
  std::optional<std::string> cause, fingerprint;
};

struct DeadLetterRow {
  std::int64_t id = 0;
  std::int32_t lane_id = 0;  ///< of the lane's row
  std::string group, handler, topic;
  std::int64_t partition = 0, offset = 0;
  std::optional<std::string> record_key, idempotency_key;  ///< bytes
  std::string cause, stage, error, fingerprint, build;
  std::int64_t attempts = 0, size = 0;
  std::string first_failed_at, dead_at, status;
  std::int64_t replays = 0;
  std::optional<std::int64_t> action_id;
};

/// Dead letters of one cause.
struct DeadLetterStats {
  std::string group, handler, topic, cause, stage, fingerprint;
  std::string error;  ///< of the newest
  std::int64_t records = 0, keys = 0;            ///< keys: different record keys
  std::string first_at, last_at;
  std::int64_t last_hour = 0, hour_before = 0, last_day = 0;
  std::int64_t replayed_before = 0;              ///< of them: replays that failed again
};

enum class Payload { read, hidden };

/// A dead letter with the record itself.
struct DeadLetter {
  struct Edit {
    std::int64_t action = 0;
    std::string at, who, reason;
    std::optional<std::string> value;  ///< before it, bytes
    std::string headers;
  };
  DeadLetterRow row;
  std::vector<Edit> edits;           ///< oldest first
  std::optional<std::string> value;  ///< bytes
  std::string headers;               ///< core/header_json.h
  std::string record_at;             ///< the record's own timestamp
  std::string first_seen;
  std::string failures;              ///< the last attempts that failed: a JSON array of at, attempt, stage, error, build
  std::optional<std::string> conflict_topic;  ///< of a conflict: where the record is that came first
  std::optional<std::int64_t> conflict_partition, conflict_offset;
};

/// Threading: one thread. Throws Stop: 75 when the connection is lost, 77 when a grant is missing, 78 when the schema is.
class Admin {
 public:
  /// `group` empty: all groups.
  Admin(Connection& connection, std::string schema, std::string group);

  std::vector<HandlerRow> handlers();
  std::vector<LaneRow> lanes();
  std::vector<OutboxRow> outbox();
  std::vector<BreakerRow> breakers();
  std::vector<FloodRow> floods();
  struct DeadLetterQuestion {
    std::optional<std::vector<std::int64_t>> ids = {};  ///< nothing: all
    std::optional<std::string> status = {};             ///< nothing: any
    std::optional<std::string> text = {};               ///< in its value, keys, headers or error; nothing: any. Needs the right to read payloads
  };
  /// Oldest first, a page at a time; `visit` returns false to stop.
  void dead_letters(const DeadLetterQuestion& question, const std::function<bool(const DeadLetterRow&)>& visit);
  /// Of this status, the most frequent first. `status` empty: of any.
  std::vector<DeadLetterStats> dead_letter_stats(const std::string& status);
  /// Of whatever group. With a hidden payload no value and no headers, neither of it nor of its edits: they are not read.
  std::optional<DeadLetter> dead_letter(std::int64_t id, Payload payload);

 private:
  pqxx::result ask(std::string_view sql, std::vector<std::optional<std::string>> arguments);

  Connection& connection_;
  std::string schema_;
  std::optional<std::string> group_;
};

}  // namespace deja::postgres
