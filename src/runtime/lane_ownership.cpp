#include <algorithm>

#include "core/event_number.h"
#include "runtime/failures.h"
#include "runtime/lane.h"
#include "runtime/worker.h"

// How a lane comes to its row and loses it: take-over, first start, settling, fencing.

namespace deja::runtime {

bool Lane::take_over(Worker& worker) {
  const postgres::LaneName name{context_.batch.group, partition_.topic, partition_.number, 0};
  auto& connection = worker.connection();
  auto row = context_.stores.lanes.take_over(connection, name);
  if (!row) {
    if (!create_rows(worker, name)) return false;
    row = context_.stores.lanes.take_over(connection, name);
    if (!row) return false;
  }
  auto outbox = std::make_shared<LaneOutbox>(relay_, context_.metrics, partition_.topic, core::event_number_prefix(context_.batch.group, row->id),
                                             row->published_seq, row->next_event_seq,
                                             [lane = weak_from_this(), this] {
                                               const auto alive = lane.lock();
                                               if (!alive) return;
                                               bool closing;
                                               {
                                                 const std::lock_guard lock(mutex_);
                                                 closing = close_by_.has_value();
                                               }
                                               if (closing) scheduler_.wake(alive);  // its last events are out
                                             });
  relay_.add(outbox);
  set_row(*row);
  doubtful_ = false;
  {
    const std::lock_guard lock(mutex_);
    outbox_ = std::move(outbox);
    owned_ = true;
  }
  moving();
  last_commit_ = context_.clock.now();
  notice_rewind(*row);
  context_.log.info("lane taken over", {{"topic", partition_.topic}, {"partition", std::int64_t{partition_.number}}, {"next_offset", row->next_offset},
                                        {"owner_epoch", row->owner_epoch}, {"unpublished_events", row->next_event_seq - 1 - row->published_seq},
                                        {"clean", row->was_clean}});
  kafka_.start_fetching(partition_, assignment_, row->next_offset);
  return true;
}

// L9: Kafka's committed offset is ahead of the row, with our mark: the database went back. Effects and progress went back together,
// so reading again from the row is right; events published meanwhile will come again under their ids.
void Lane::notice_rewind(const postgres::LaneState& row) {
  const auto mark = kafka_.committed_mark(partition_);
  if (!mark || mark->offset <= row.next_offset) return;
  const bool ours = mark->metadata.starts_with("deja/");
  if (ours) context_.metrics.counter("deja_lane_rewinds_total", {partition_.topic}).add();
  context_.log.error(ours ? "the database is behind what was committed to Kafka: it was restored or lost its tail; records are read again from its offset"
                          : "another consumer commits offsets in this group: records it handled will be handled here too, stop one of the two",
                     {{"topic", partition_.topic}, {"partition", std::int64_t{partition_.number}}, {"next_offset", row.next_offset},
                      {"committed_in_kafka", mark->offset}});
}

// L8: where a group starts is decided once for all partitions of a topic; a partition added later starts at its beginning.
bool Lane::create_rows(Worker& worker, const postgres::LaneName& name) {
  auto& connection = worker.connection();
  if (context_.stores.lanes.any_row_of_topic(connection, name)) {
    const auto marks = kafka_.watermarks(partition_);
    if (!marks) return false;
    context_.stores.lanes.create(connection, name, marks->low);
    return true;
  }
  const auto partitions = kafka_.partition_count(partition_.topic);
  if (!partitions) return false;
  std::vector<std::int64_t> offsets;
  for (std::int32_t p = 0; p < std::max(*partitions, partition_.number + 1); ++p) {
    const auto offset = start_offset({partition_.topic, p});
    if (!offset) return false;
    offsets.push_back(*offset);
  }
  context_.stores.lanes.create_all(connection, name.group, name.topic, offsets);
  return true;
}

std::optional<std::int64_t> Lane::start_offset(const kafka::Partition& partition) {
  const auto committed = kafka_.committed(partition);
  if (!committed) return std::nullopt;
  if (*committed >= 0) return committed;  // a group that moves here loses nothing
  const auto marks = kafka_.watermarks(partition);
  if (!marks) return std::nullopt;
  return context_.start_from == "latest" ? marks->high : marks->low;
}

// L2: a commit of unknown outcome, or a row that is not as it was left, is settled under the row's lock by batch_seq.
void Lane::settle(Worker& worker) {
  const auto now = context_.stores.lanes.read_locked(worker.connection(), row_.id);
  const auto resolved = [&](const char* resolution) {
    if (in_doubt_) context_.metrics.counter("deja_commits_in_doubt_total", {resolution}).add();
  };
  const bool mine = now.token == row_.token;
  if (mine && now.batch_seq == row_.batch_seq && now.next_offset == row_.next_offset) {
    resolved("not_committed");
  } else if (mine && now.batch_seq == row_.batch_seq + 1 && (in_doubt_ || mark_in_doubt_)) {
    resolved("committed");
    if (in_doubt_) {
      auto result = std::move(*in_doubt_);
      committed(result, in_doubt_records_);
    } else {
      set_row(now);
    }
  } else {
    resolved("fenced");
    throw Fenced();
  }
  in_doubt_.reset();
  in_doubt_records_.clear();
  mark_in_doubt_ = doubtful_ = false;
  moving();
}

void Lane::fence() {
  metrics_->fenced();
  context_.log.warn("lane is fenced: its row belongs to another owner; it is taken over again if Kafka still says it is ours",
                    {{"topic", partition_.topic}, {"partition", std::int64_t{partition_.number}}, {"owner_epoch", row_.owner_epoch}});
  current_.clear();
  in_doubt_.reset();
  in_doubt_records_.clear();
  mark_in_doubt_ = doubtful_ = false;
  plan_.reset();
  const std::lock_guard lock(mutex_);
  if (outbox_) outbox_->abandon();
  outbox_.reset();
  queue_.clear();
  queue_bytes_ = 0;
  owned_ = accepting_ = false;
}

void Lane::report_loss() {
  if (std::exchange(reported_loss_, true)) return;
  const auto marks = kafka_.watermarks(partition_);
  std::string cause = "the log does not have offset " + std::to_string(row_.next_offset) + " any more";
  if (marks) cause += ": it holds " + std::to_string(marks->low) + " to " + std::to_string(marks->high - 1);
  context_.log.error("records are lost in Kafka; the partition stops, nothing is skipped silently",
                     {{"topic", partition_.topic}, {"partition", std::int64_t{partition_.number}}, {"wanted_offset", row_.next_offset},
                      {"log_start", marks ? marks->low : -1}, {"log_end", marks ? marks->high : -1}});
  set_pause("log lost: " + cause, "offset " + std::to_string(row_.next_offset));
}

void Lane::set_row(const postgres::LaneState& row) {
  const std::lock_guard lock(mutex_);
  row_ = row;
}

}  // namespace deja::runtime
