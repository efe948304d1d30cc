#pragma once

#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "core/outbound_event.h"
#include "postgres/connection.h"

namespace deja::postgres {

/// Remembers the topics that a group's events go to, so that an audit knows where to look. Once a topic is known to be stored, a
/// batch pays a look-up in memory for it and nothing else.
/// Threading: any.
class EventTopicStore {
 public:
  EventTopicStore(const std::string& schema, std::string group);

  /// Statements for the batch's own transaction, so that no event is committed whose topic is not; empty when all are known.
  std::string insert_sql(const Connection& c, const std::vector<core::OutboundEvent>& events) const;
  /// The transaction is committed.
  void committed(const std::vector<core::OutboundEvent>& events) const;

 private:
  std::string insert_, group_;
  mutable std::mutex mutex_;
  mutable std::set<std::string> known_;
};

}  // namespace deja::postgres
