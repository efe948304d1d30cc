#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "postgres/connection.h"

// Lanes that nobody works any more and that still have events for Kafka, or parked records (L11): their topic or handler was removed, or there are fewer
// lanes now. Errors: whatever libpqxx throws.

namespace deja::postgres {

struct AbandonedLane {
  std::int32_t id = 0;
  std::string group, topic;
  std::int32_t partition = 0, lane = 0;
  std::int64_t events = 0, parked = 0;
  bool group_runs = false;      ///< another program of the group runs at this moment
  bool other_program = false;   ///< a program that shares no handler with the one that asks registered the topic in the last days
};

class AbandonedLanes {
 public:
  /// `group` empty: all groups.
  AbandonedLanes(const std::string& schema, const std::string& group);

  /// Those whose topic no running program handles and the one that asks, with these topics and handlers, will not handle either. Lanes
  /// that were accepted as they are do not count.
  std::vector<AbandonedLane> find(Connection& c, const std::vector<std::string>& topics, const std::vector<std::string>& handlers) const;

  /// Accepts them as they are: the events and the records stay, and the audit log says which.
  void accept(Connection& c, const std::vector<AbandonedLane>& lanes, const std::string& reason) const;

 private:
  std::string group_, find_, audit_, accept_;
};

/// For people: `orders/3 (12 events), refunds/0 (1 event, 4 parked records)`.
std::string in_words(const std::vector<AbandonedLane>& lanes);

}  // namespace deja::postgres
