#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/uuid.h"

namespace deja::core {

/// Which of a lane's event numbers were found in Kafka, and under which event id. Takes 8 bytes a number.
class EventNumbers {
 public:
  enum class Seen {
    first,
    repeat,        // the same event once more: allowed
    another_id,    // the same number for another event
    out_of_order,  // first seen, after a higher number in the same partition of the same topic
  };
  /// `place`: the partition of the event topic, numbered as the caller likes. Each place in log order.
  Seen see(std::int32_t place, std::int64_t seq, const Uuid& id);

  bool has(std::int64_t seq) const;
  /// Calls `visit` for the numbers in [from, until) that were not seen.
  void missing(std::int64_t from, std::int64_t until, const std::function<void(std::int64_t)>& visit) const;

  /// Whether the missing `seq` may have stood in one of the places that lost their beginning (retention, compaction).
  enum class Removed { no, yes, unknown };
  Removed may_be_removed(std::int64_t seq, const std::vector<std::int32_t>& places_without_beginning) const;

 private:
  static constexpr std::int64_t block = 1 << 16;
  std::unordered_map<std::int64_t, std::vector<std::uint64_t>> ids_;  // 0: not seen
  struct Range {
    std::int64_t first, highest;
  };
  std::map<std::int32_t, Range> places_;
  std::int64_t lowest_ = 0;
};

}  // namespace deja::core
