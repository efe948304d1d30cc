#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <deja/handler.h>

#include "core/source_record.h"
#include "postgres/lane_store.h"
#include "runtime/lane.h"

// A partition of the assignment and its lanes, as the polling thread sees them.

namespace deja::runtime {

/// Not for two threads at once, but for what its lanes do themselves.
class Seat {
 public:
  struct LaneSeat {
    std::shared_ptr<Lane> lane;
    std::int64_t expected = -1;                // the next offset it takes; -1: it waits for its start
    bool starting = false;                     // taken over, not yet fed
    std::optional<postgres::Witness> witness;  // not yet found in the log
  };

  std::vector<LaneSeat> lanes;
  std::shared_ptr<LaneMetrics> metrics;
  std::shared_ptr<PartitionFeed> feed;
  const detail::HandlerSpec* spec = nullptr;
  std::int64_t expected = -1;  // the next offset in log order; -1: not fetched
  std::int64_t wanted = -1;    // what is below it is fetched only to look for witnesses
  bool uncertain = false;      // just sought or resumed: librdkafka may have forgotten the offset
  bool sought_again = false;
  bool paused = false;
  std::int64_t offset_in_kafka = -1;

  /// A lane was taken over.
  void start(std::int32_t lane, std::int64_t offset, std::optional<postgres::Witness> witness);
  /// Every lane was taken over, so that the log can be read for all of them.
  bool ready() const;
  /// The first offset that any lane wants to look at.
  std::int64_t fetch_from() const;
  /// The log is being read from `offset` on: the lanes that waited for it are fed.
  void fetching_from(std::int64_t offset);
  /// Nothing is fed until every lane has started anew.
  void stop(const std::string& error, bool certain);
  LaneSeat& lane_of(const core::SourceRecord& record);

  /// Why the log is another one than the lanes consumed, in words; empty while that does not show (L6). Called with each record, or
  /// with the end of the partition, until every witness is found or known to be gone.
  std::string check_witnesses(const core::SourceRecord& record, core::FramedHash& hash);
  std::string check_end(std::int64_t end) const;
  bool has_witnesses() const { return unchecked_ > 0; }

  std::uint64_t assignment() const { return lanes.front().lane->assignment(); }
  bool all_closed() const;
  /// A lane waits for an operator: nothing is fetched.
  bool stopped() const;
  bool full(std::size_t records, std::size_t bytes) const;
  bool has_room(std::size_t records, std::size_t bytes) const;
  /// Where the slowest lane stands, with the first lane's token; nothing while one is not owned.
  std::optional<Lane::Progress> progress() const;
  /// All lanes finish and hand over; with `bring_together`, as far as the furthest of them has come in what was read
  /// here (L5).
  void close(core::Steady::time_point deadline, bool bring_together);

 private:
  int unchecked_ = 0;
};

}  // namespace deja::runtime
