#include "core/batch_plan.h"

#include <algorithm>

namespace deja::core {

ForcedFailure killed(std::int32_t starts) {
  return {Trouble::killed_process, "the process ended without a result each of the " + std::to_string(starts) + " times that this record ran alone in it (crash.max.starts)"};
}

ForcedFailure killed_connection(std::int32_t losses) {
  return {Trouble::killed_connection, "the link to Postgres was lost each of the " + std::to_string(losses) + " times that this record ran alone, and the server was up all the time (crash.max.starts)"};
}

BatchShape BatchPlan::next(std::size_t available, std::int64_t first_offset) const {
  BatchShape shape;
  shape.records = limit_ > 0 ? std::min(limit_, available) : available;
  shape.savepoints = first_offset < savepoints_until_ || careful_ > 0;
  if (shape.savepoints) shape.records = std::min(shape.records, with_savepoints_);
  shape.forced = forced_;
  return shape;
}

void BatchPlan::needs_savepoints(std::int64_t last_offset) { savepoints_until_ = std::max(savepoints_until_, last_offset + 1); }

void BatchPlan::failed_at_commit(std::size_t records, std::string error) {
  limit_ = 1;
  if (records == 1) forced_ = {Trouble::at_commit, std::move(error)};
}

std::uint32_t BatchPlan::repeat(std::size_t records) {
  if (++repeats_ >= halve_from) limit_ = std::max<std::size_t>(1, records / 2);
  return repeats_;
}

void BatchPlan::too_slow(std::size_t first, std::size_t count, std::string error) {
  if (first > 0) {
    limit_ = first;
  } else if (count > 1) {
    limit_ = count / 2;
  } else {
    limit_ = 1;
    forced_ = {Trouble::too_slow, std::move(error)};
  }
}

void BatchPlan::committed(std::optional<std::int64_t> first_left, const SavepointUse& savepoints) {
  if (savepoints.needed) careful_ = careful_tries;
  else if (careful_ > 0) --careful_;
  if (savepoints.kept > subtransaction_cache) with_savepoints_ = std::max(subtransaction_cache, with_savepoints_ / 2);
  else if (savepoints.kept * 2 <= subtransaction_cache) with_savepoints_ = std::min(most_with_savepoints, with_savepoints_ * 2);
  forced_.reset();
  repeats_ = 0;
  // while slices with savepoints are left, a limit set among them still counts: the record to blame may be further on
  if (!first_left || *first_left >= savepoints_until_) limit_ = 0;
}

}  // namespace deja::core
