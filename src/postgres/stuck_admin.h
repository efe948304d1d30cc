#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "postgres/connection.h"

// What operators see of events that were set aside, and what they decide (O2, D1).

namespace deja::postgres {

/// Without its value and headers. Times are RFC 3339 in UTC.
struct StuckListing {
  std::int32_t lane_id = 0;  ///< of the lane's row
  std::string group, topic;  ///< of the record that emitted it
  std::int64_t partition = 0, lane = 0, seq = 0;
  std::string event_id, event_topic, state;
  std::optional<std::string> event_key;  ///< bytes
  std::optional<std::string> error;      ///< nothing: it is behind an earlier one
  std::int64_t attempts = 0, size = 0;
  std::string at, stuck_at;
};

/// Threading: one thread. list() throws what Admin does, the others whatever libpqxx throws.
class StuckAdmin {
 public:
  /// `group` empty: all groups.
  StuckAdmin(Connection& connection, std::string schema, std::string group);

  struct Question {
    std::string topic = {};                            ///< of the lane; empty: all
    std::optional<std::vector<std::string>> ids = {};  ///< event ids; nothing: all
  };
  /// By lane and number, a page at a time; `visit` returns false to stop.
  void list(const Question& question, const std::function<bool(const StuckListing&)>& visit);

  // In the caller's transaction, the lane's lock first. They return the numbers that were not discarded before, and the owner looks.
  void lock(std::int32_t lane_id);
  /// Tried again now, with all of their keys, whose order they keep.
  std::vector<std::int64_t> retry(std::int32_t lane_id, const std::vector<std::int64_t>& numbers);
  /// Not published any more, and forgotten but for their number and id. What was behind one that came first is tried.
  std::vector<std::int64_t> discard(std::int32_t lane_id, const std::vector<std::int64_t>& numbers);

 private:
  Connection& connection_;
  std::string schema_;
  std::optional<std::string> group_;
};

}  // namespace deja::postgres
