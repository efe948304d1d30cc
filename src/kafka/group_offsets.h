#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "kafka/partition.h"

// A group's committed offsets, moved from outside. They only feed lag tools: the database says where to resume.

namespace deja::kafka {

enum class GroupState { empty, active };

/// Commits the offsets for a group that has no members. `active`: it has some, and nothing was committed.
/// Throws Unreachable (kafka/admin.h) when Kafka does not answer in time or refuses.
GroupState commit_for_empty_group(const std::vector<std::pair<std::string, std::string>>& settings, const std::string& group,
                                  const std::vector<std::pair<Partition, std::int64_t>>& offsets, const std::string& metadata,
                                  std::chrono::milliseconds timeout);

}  // namespace deja::kafka
