#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/uuid.h"
#include "postgres/connection.h"

// What operators see of parked records, and what they want of them (D1).

namespace deja::postgres {

/// A parked record without its value and headers. Times are RFC 3339 in UTC.
struct ParkedListing {
  std::int64_t id = 0;
  std::int32_t lane_id = 0;  ///< of the lane's row
  core::Uuid incarnation;
  std::string group, handler, topic;
  std::int64_t partition = 0, lane = 0, offset = 0;
  std::optional<std::string> record_key, idempotency_key;  ///< bytes
  std::int64_t attempt = 0, starts = 0;
  std::optional<std::string> next_at;
  std::optional<std::string> cause, error, fingerprint;
  std::optional<std::int64_t> behind;  ///< offset of the record of its ordering key that is next; nothing: it is that one
  std::optional<std::int64_t> held_by;  ///< the dead letter that is this record
  std::string first_seen;
  std::optional<std::string> first_failed_at;
  std::int64_t size = 0;
  std::optional<std::string> wanted;
};

/// A topic that got partitions while records of it were parked: later records of their keys may be there, and pass them (R5).
struct GrownTopic {
  std::string group, topic;
  std::int64_t parked = 0;
  std::string partitions;  ///< that came later
};

/// Threading: one thread. list() throws what Admin does, the others whatever libpqxx throws.
class ParkedAdmin {
 public:
  /// `group` empty: all groups.
  ParkedAdmin(Connection& connection, std::string schema, std::string group);

  struct Question {
    std::string topic = {};                              ///< empty: all
    std::optional<std::vector<std::int64_t>> ids = {};  ///< nothing: all
  };
  /// By id, a page at a time; `visit` returns false to stop.
  void list(const Question& question, const std::function<bool(const ParkedListing&)>& visit);

  std::vector<GrownTopic> grown_topics();

  // In the caller's transaction, the lane's lock first. They return those that are still parked, and the owner reads them again.
  void lock(std::int32_t lane_id);
  /// Due now, whatever was wanted of them before. Records that wait behind another one stay as they are.
  std::vector<std::int64_t> retry(std::int32_t lane_id, const std::vector<std::int64_t>& ids);
  /// `what` is done by the owner, in a batch: dead-letter or discard.
  std::vector<std::int64_t> want(std::int32_t lane_id, const std::vector<std::int64_t>& ids, const std::string& what, const std::string& reason);

  struct Fate {
    bool parked = false;  ///< still
    std::optional<std::int64_t> letter;  ///< its dead letter
    bool discarded = false;
  };
  /// What became of records of one lane, in their order.
  std::vector<Fate> fates(std::int32_t lane_id, const std::vector<const ParkedListing*>& records);

 private:
  std::vector<std::int64_t> change(std::int32_t lane_id, const std::string& set, std::vector<std::optional<std::string>> arguments);

  Connection& connection_;
  std::string schema_;
  std::optional<std::string> group_;
};

}  // namespace deja::postgres
