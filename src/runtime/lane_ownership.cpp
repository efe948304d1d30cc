#include <algorithm>

#include "core/event_number.h"
#include "failpoints/failpoint.h"
#include "postgres/errors.h"
#include "postgres/transaction_control.h"
#include "runtime/failures.h"
#include "runtime/lane.h"
#include "runtime/worker.h"

// How a lane comes to its row and loses it: take-over, first start, settling, fencing.

namespace deja::runtime {

namespace {
constexpr std::chrono::milliseconds idle_holder_after{2000};
}

postgres::LaneName Lane::name() const { return {context_.batch.group, partition_.topic, partition_.number, number_}; }

// As a command for operators wants them.
std::string Lane::partition_options() const {
  return "--group " + context_.batch.group + " --topic " + partition_.topic + " --partition " + std::to_string(partition_.number) + " --reason TEXT";
}

core::LaneMap Lane::map() const {
  core::LaneMap map;
  map.lanes = context_.lanes_per_partition;
  if (spec_.ordering) map.ordering = "key function";
  return map;
}

bool Lane::take_over(Worker& worker) {
  const auto mark = kafka_.committed_mark(partition_);
  DEJA_FAILPOINT(after_rewind_look);
  if (!mark) return false;
  const auto log = kafka_.watermarks(partition_);
  if (!log) return false;
  const auto row = take_row(worker);
  if (!row) return false;
  DEJA_FAILPOINT(after_take_over);
  notice_foreign_offset(worker, *row, mark);
  set_row(*row);
  // the owner before did not hand over in order (R1)
  load_parked(worker, row->suspects.records >= static_cast<std::int32_t>(context_.batch_max_records));
  const auto aside = context_.stores.stuck.load(worker.connection(), row->id, row->published_seq);
  DEJA_FAILPOINT(after_aside_load);
  forget_aside();
  know_aside(aside);
  auto outbox = std::make_shared<LaneOutbox>(relay_, context_.metrics, partition_.topic, core::event_number_prefix(context_.batch.group, row->id),
                                             row->published_seq, row->next_event_seq, aside,
                                             [lane = weak_from_this(), this] {
                                               const auto alive = lane.lock();
                                               if (!alive) return;
                                               bool closing;
                                               {
                                                 const std::lock_guard lock(mutex_);
                                                 closing = close_by_.has_value();
                                               }
                                               if (closing) scheduler_.wake(alive);  // its last events are out
                                             },
                                             [lane = weak_from_this(), this] {
                                               if (const auto alive = lane.lock()) scheduler_.wake(alive);
                                             });
  relay_.add(outbox);
  suspects_ = core::Suspects(row->suspects);
  doubtful_ = false;
  look_for_witness_ = row->witness && row->witness->offset >= log->low;  // else retention has taken it
  {
    const std::lock_guard lock(mutex_);
    outbox_ = std::move(outbox);
    owned_ = true;
  }
  moving();
  last_commit_ = context_.clock.now();
  context_.log.info("lane taken over", {{"topic", partition_.topic}, {"partition", std::int64_t{partition_.number}}, {"lane", std::int64_t{number_}},
                                        {"next_offset", row->next_offset}, {"owner_epoch", row->owner_epoch},
                                        {"unpublished_events", row->next_event_seq - 1 - row->published_seq}, {"clean", row->was_clean}});
  // Not asked for where it is not there: librdkafka does not seek in a partition again after that.
  if (log->low <= row->next_offset && row->next_offset <= log->high) fetch();
  else log_lost("the offset is not in the log", false);
  return true;
}

// L10: the wait for another owner's transaction is bounded. When Kafka gave the partition away, that owner is gone, or past its
// drain time-out, or stands still; the last may hold the row for as long as its machine sleeps.
std::optional<postgres::LaneState> Lane::take_row(Worker& worker) {
  auto& connection = worker.connection();
  const auto suspects = static_cast<std::int32_t>(context_.batch_max_records);
  const auto take = [&]() -> std::optional<postgres::LaneState> {
    auto row = context_.stores.lanes.take_over(connection, name(), map(), suspects);
    DEJA_FAILPOINT(after_row_look_up);
    if (row) return row;
    if (!create_rows(worker, name())) return std::nullopt;
    row = context_.stores.lanes.take_over(connection, name(), map(), suspects);
    DEJA_FAILPOINT(after_row_look_up);
    return row;
  };
  try {
    auto row = take();
    waits_for_row_.reset();
    return row;
  } catch (const postgres::LaneMapRefused& e) {
    throw Stop(exit_code::configuration, e.what());
  } catch (const std::exception& e) {
    if (postgres::classify(e, !connection.broken()).kind != postgres::Failure::repeat) throw;
    const auto now = context_.clock.now();
    if (!waits_for_row_) waits_for_row_ = now;
    if (now - *waits_for_row_ < idle_holder_after) throw;
    const int pid = context_.stores.lanes.end_idle_holder(connection, name(), idle_holder_after);
    DEJA_FAILPOINT(after_idle_holder_ended);
    if (pid != 0)
      context_.log.warn("ended the session of the lane's owner before, which stood idle in its transaction; what it had not committed is rolled back",
                        {{"topic", partition_.topic}, {"partition", std::int64_t{partition_.number}}, {"lane", std::int64_t{number_}}, {"backend_pid", std::int64_t{pid}}});
    throw;
  }
}

// The log is read from the witness on, so that another log under the same name shows (L6).
void Lane::fetch() {
  const bool look = look_for_witness_ && row_.witness && row_.witness->offset < row_.next_offset;
  kafka_.start_fetching(partition_, assignment_, {number_, row_.next_offset, look ? row_.witness : std::nullopt});
  DEJA_FAILPOINT(after_fetch_request);
}

// L9: Kafka's committed offset is ahead of the row. With our mark, the database went back: effects and progress went back together,
// so reading again from the row is right; events published meanwhile come again under their ids. With a foreign mark, somebody
// else handled these records: to go on would double their effects.
void Lane::notice_foreign_offset(Worker& worker, const postgres::LaneState& row, const std::optional<kafka::CommittedOffset>& mark) {
  if (mark->offset <= row.next_offset) return;
  const auto where = partition_.topic + "/" + std::to_string(partition_.number);
  if (!mark->metadata.starts_with("deja/"))
    throw Stop(exit_code::configuration,
               "another consumer committed offset " + std::to_string(mark->offset) + " of " + where + " in group " + context_.batch.group +
                   ", ahead of deja's " + std::to_string(row.next_offset) + ": stop it; then `deja lanes reset " + partition_options() + " --to-offset " +
                   std::to_string(mark->offset) + "` leaves to it what it handled, --to-offset " +
                   std::to_string(row.next_offset) + " handles that here, too");
  if (mark->offset <= row.reread_until) return;  // an operator's reset
  if (row.id == row_.id && row.incarnation != row_.incarnation) return;  // an operator's accept-loss: the mark is the old log's
  context_.metrics.counter("deja_lane_rewinds_total", {partition_.topic}).add();
  context_.log.error("the database is behind what was committed to Kafka: it was restored or lost its tail; records are read again from its offset",
                     {{"topic", partition_.topic}, {"partition", std::int64_t{partition_.number}}, {"lane", std::int64_t{number_}},
                      {"next_offset", row.next_offset}, {"committed_in_kafka", mark->offset}});
  auto& connection = worker.connection();
  postgres::in_transaction(connection, [&] {
    // Kafka allows no character in a topic's name that JSON would have to escape
    context_.stores.audit_log.append(connection, {"database went back", context_.batch.group, "found at a take-over: Kafka's committed offset, with deja's mark, is ahead of the lane",
                                                  R"({"topic": ")" + partition_.topic + R"(", "partition": )" + std::to_string(partition_.number) + R"(, "lane": )" +
                                                      std::to_string(number_) + R"(, "next_offset": )" + std::to_string(row.next_offset) +
                                                      R"(, "committed_in_kafka": )" + std::to_string(mark->offset) + "}"});
  });
  DEJA_FAILPOINT(after_rewind_noted);
}

// L8: where a group starts is decided once for all partitions of a topic; a partition added later starts at its beginning.
bool Lane::create_rows(Worker& worker, const postgres::LaneName& name) {
  auto& connection = worker.connection();
  if (context_.stores.lanes.any_row_of_topic(connection, name)) {
    DEJA_FAILPOINT(after_topic_rows);
    const auto marks = kafka_.watermarks(partition_);
    DEJA_FAILPOINT(after_watermark_look);
    if (!marks) return false;
    context_.stores.lanes.create(connection, name, marks->low, map());
    DEJA_FAILPOINT(after_row_created);
    return true;
  }
  DEJA_FAILPOINT(after_topic_rows);
  const auto partitions = kafka_.partition_count(partition_.topic);
  DEJA_FAILPOINT(after_partition_count);
  if (!partitions) return false;
  std::vector<std::int64_t> offsets;
  for (std::int32_t p = 0; p < std::max(*partitions, partition_.number + 1); ++p) {
    const auto offset = start_offset({partition_.topic, p});
    if (!offset) return false;
    offsets.push_back(*offset);
  }
  DEJA_FAILPOINT(after_start_offsets);
  context_.stores.lanes.create_all(connection, name.group, name.topic, offsets, map());
  DEJA_FAILPOINT(after_rows_created);
  return true;
}

std::optional<std::int64_t> Lane::start_offset(const kafka::Partition& partition) {
  const auto committed = kafka_.committed(partition);
  DEJA_FAILPOINT(after_committed_look);
  if (!committed) return std::nullopt;
  if (*committed >= 0) return committed;  // a group that moves here loses nothing
  const auto marks = kafka_.watermarks(partition);
  DEJA_FAILPOINT(after_watermark_look);
  if (!marks) return std::nullopt;
  return context_.start_from == "latest" ? marks->high : marks->low;
}

// L2: a commit of unknown outcome, or a row that is not as it was left, is settled under the row's lock by batch_seq.
void Lane::settle(Worker& worker) {
  const auto now = context_.stores.lanes.read_locked(worker.connection(), row_.id);
  DEJA_FAILPOINT(after_settle_read);
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
      // L2, D1: what an operator changed since is still not known
      auto row = now;
      row.parked_version = row_.parked_version;
      set_row(row);
      outbox_->committed_in_table(row.next_event_seq);
    }
  } else {
    resolved("fenced");
    throw Fenced();
  }
  in_doubt_.reset();
  in_doubt_records_.clear();
  mark_in_doubt_ = doubtful_ = false;
  DEJA_FAILPOINT(after_settled);
  moving();
}

void Lane::fence() {
  metrics_->fenced();
  context_.log.warn("lane is fenced: its row belongs to another owner; it is taken over again if Kafka still says it is ours",
                    {{"topic", partition_.topic}, {"partition", std::int64_t{partition_.number}}, {"owner_epoch", row_.owner_epoch}});
  need_no_more();
  not_before_ = {};
  current_.clear();
  in_doubt_.reset();
  in_doubt_records_.clear();
  mark_in_doubt_ = doubtful_ = false;
  plan_.reset();
  link_losses_ = {};
  forget_parked();
  forget_aside();
  DEJA_FAILPOINT(after_fence);
  const std::lock_guard lock(mutex_);
  if (outbox_) outbox_->abandon();
  outbox_.reset();
  queue_.clear();
  queue_bytes_ = 0;
  owned_ = accepting_ = false;
  lost_.reset();
  close_at_ = taken_until_ = -1;
}

// What the broker said is looked at once more: retention may have taken the witness alone, and a new leader may be behind for a moment.
Next Lane::look_at_loss(Worker& worker) {
  Loss loss;
  {
    const std::lock_guard lock(mutex_);
    loss = *lost_;
  }
  need_no_more();
  if (loss.reported) return idle_step(worker);
  const auto marks = kafka_.watermarks(partition_);
  DEJA_FAILPOINT(after_loss_look);
  if (!marks) return wait(worker, "Kafka does not answer what the log holds", "kafka");
  const auto wanted = row_.next_offset;
  if (!loss.certain && marks->low <= wanted && wanted <= marks->high) {
    {
      const std::lock_guard lock(mutex_);
      lost_.reset();
    }
    look_for_witness_ = false;
    moving();
    fetch();
    return Next::now();
  }
  const auto holds = "the log holds " + std::to_string(marks->low) + " to " + std::to_string(marks->high - 1);
  context_.log.error("the log lost records; the partition stops, nothing is skipped silently",
                     {{"topic", partition_.topic}, {"partition", std::int64_t{partition_.number}}, {"lane", std::int64_t{number_}}, {"cause", loss.error},
                      {"wanted_offset", wanted}, {"log_start", marks->low}, {"log_end", marks->high},
                      {"remedy", "deja lanes accept-loss " + partition_options()}});
  set_pause("log lost: " + (loss.certain ? loss.error : "offset " + std::to_string(wanted) + " is not there any more") + ": " + holds,
            "offset " + std::to_string(wanted));
  const std::lock_guard lock(mutex_);
  if (lost_) lost_->reported = true;
  return Next::now();
}

void Lane::set_row(const postgres::LaneState& row) {
  const std::lock_guard lock(mutex_);
  row_ = row;
}

}  // namespace deja::runtime
