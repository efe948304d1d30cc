#include "runtime/intake.h"

#include "failpoints/failpoint.h"

#include <algorithm>

namespace deja::runtime {

using std::chrono::milliseconds;

namespace {
constexpr milliseconds poll_wait{20}, offset_commit_every{5000}, look_up_wait{5000}, retry_seek_after{200};
}

Intake::Intake(const Context& context, Options options, Lanes lanes)
    : context_(context), options_(std::move(options)), lanes_(std::move(lanes)),
      consumer_(std::make_unique<kafka::Consumer>(options_.settings, options_.group, options_.client_id, *this, context.log)) {}

Intake::~Intake() {
  request_stop();
  join();
}

void Intake::start() {
  consumer_->subscribe(options_.topics);
  DEJA_FAILPOINT(after_subscribe);
  thread_ = std::thread([this] { run(); });
}

void Intake::request_stop() { stop_requested_ = true; }

bool Intake::join() {
  if (thread_.joinable()) thread_.join();
  return clean_;
}

void Intake::run() {
  bool stopping = false;
  try {
    for (;;) {
      serve_requests();
      dispatch(consumer_->poll(has_requests_ ? milliseconds(0) : poll_wait));
      DEJA_FAILPOINT(after_poll);
      apply_back_pressure();
      finish_revocation();
      leave_or_join_again();
      if (context_.clock.now() - last_offset_commit_ > offset_commit_every) commit_offsets(false);
      if (!stop_requested_) continue;
      if (!std::exchange(stopping, true)) {
        stop_by_ = context_.clock.now() + options_.drain_timeout;
        for (auto& [partition, seat] : seats_) {
          consumer_->pause(partition);
          seat.close(stop_by_, true);
        }
        DEJA_FAILPOINT(after_drain_begun);
      }
      const bool all = std::all_of(seats_.begin(), seats_.end(), [](const auto& s) { return s.second.all_closed(); });
      if (all || context_.clock.now() > stop_by_ + milliseconds(1000)) {
        clean_ = all && context_.clock.now() <= stop_by_;
        break;
      }
    }
    commit_offsets(true);
    consumer_->close();
  } catch (const Stop& stop) {
    context_.stop(stop);
    consumer_->close();
  } catch (const std::exception& e) {
    context_.stop(Stop(exit_code::defect, std::string("the polling thread failed: ") + e.what()));
    consumer_->close();
  }
  DEJA_FAILPOINT(after_group_left);
  finished_ = true;
}

void Intake::dispatch(kafka::Polled polled) {
  if (auto* record = std::get_if<core::SourceRecord>(&polled)) {
    // what is there already needs no wait between
    accept(std::move(*record));
    for (int i = 0; i < 500 && !has_requests_; ++i) {
      auto more = consumer_->poll(milliseconds(0));
      DEJA_FAILPOINT(after_further_poll);
      if (auto* next = std::get_if<core::SourceRecord>(&more)) accept(std::move(*next));
      else return dispatch(std::move(more));
    }
  } else if (auto* lost = std::get_if<kafka::OffsetLost>(&polled)) {
    if (auto* seat = seat_of(lost->partition.topic, lost->partition.number); seat && seat->expected >= 0)
      stop_partition(lost->partition, *seat, lost->error, false);
  } else if (auto* end = std::get_if<kafka::EndOfPartition>(&polled)) {
    reach_end(*end);
  } else if (auto* error = std::get_if<kafka::PartitionError>(&polled)) {
    context_.log.warn("Kafka reports an error of a partition; it is tried again",
                      {{"topic", error->partition.topic}, {"partition", std::int64_t{error->partition.number}}, {"error", error->error}});
  }
}

void Intake::accept(core::SourceRecord record) {
  DEJA_FAILPOINT(after_record);
  context_.dependencies.up("kafka");
  auto* seat = seat_of(record.view.topic, record.view.partition);
  if (!seat) return;  // of a partition that was given up
  if (seat->expected < 0) return seat->metrics->stale();
  const auto offset = record.view.offset;
  if (offset < seat->expected) return seat->metrics->redelivered();
  const auto& partition = last_seat_.first;
  if (!in_log_order(*seat, partition, offset)) return;
  if (seat->has_witnesses())
    if (const auto other_log = seat->check_witnesses(record, hash_); !other_log.empty()) return stop_partition(partition, *seat, other_log, true);
  seat->expected = offset + 1;
  if (offset < seat->wanted) return;
  auto& target = seat->lane_of(record);
  if (offset < target.expected) {
    seat->metrics->redelivered();
  } else {
    const auto pushed = target.lane->push(std::move(record));
    DEJA_FAILPOINT(after_queued);
    if (pushed == Lane::Pushed::dropped) return seat->metrics->stale();
    target.expected = offset + 1;
    if (pushed == Lane::Pushed::first_in_queue) lanes_.wake(target.lane);
  }
  seat->feed->consumed.store(offset + 1);
}

// Transaction markers and what compaction took have offsets, too: a quiet lane moves on over them (L7).
void Intake::reach_end(const kafka::EndOfPartition& end) {
  auto* seat = seat_of(end.partition.topic, end.partition.number);
  if (!seat || seat->expected < 0 || seat->stopped()) return;
  if (const auto shorter = seat->check_end(end.offset); !shorter.empty()) return stop_partition(end.partition, *seat, shorter, false);
  if (end.offset <= seat->expected || !in_log_order(*seat, end.partition, end.offset)) return;
  DEJA_FAILPOINT(after_end_of_partition);
  seat->expected = end.offset;
  seat->feed->consumed.store(end.offset);
}

void Intake::stop_partition(const kafka::Partition& partition, Seat& seat, const std::string& error, bool certain) {
  consumer_->pause(partition);
  seat.stop(error, certain);
  DEJA_FAILPOINT(after_log_lost);
}

// A gap is no loss where compaction or transaction markers made it, and the broker never skips on its own. But librdkafka may
// forget the offset of a seek that a pause follows: so ask once more for the record that is missing, and believe the second answer.
bool Intake::in_log_order(Seat& seat, const kafka::Partition& partition, std::int64_t offset) {
  if (offset > seat.expected && seat.uncertain && !seat.sought_again) {
    seat.sought_again = consumer_->start(partition, seat.expected);
    DEJA_FAILPOINT(after_second_seek);
    return false;
  }
  seat.uncertain = seat.sought_again = false;
  return true;
}

void Intake::request(std::function<void()> action) {
  const std::lock_guard lock(requests_mutex_);
  requests_.push_back(std::move(action));
  has_requests_ = true;
}

void Intake::serve_requests() {
  if (!has_requests_) return;
  std::vector<std::function<void()>> todo;
  {
    const std::lock_guard lock(requests_mutex_);
    todo.swap(requests_);
    has_requests_ = false;
  }
  for (auto& action : todo) action();
}

void Intake::start_fetching(const kafka::Partition& partition, std::uint64_t assignment, const Start& start) {
  request([=, this] { begin(partition, assignment, start); });
}

void Intake::begin(const kafka::Partition& partition, std::uint64_t assignment, const Start& start) {
  auto* seat = seat_of(partition.topic, partition.number);
  if (!seat || seat->assignment() != assignment) return;
  seat->start(start.lane, start.offset, start.witness);
  if (seat->ready()) fetch(partition, assignment);
}

// From the first offset that a lane wants; those that are further drop what they have.
void Intake::fetch(const kafka::Partition& partition, std::uint64_t assignment) {
  auto* seat = seat_of(partition.topic, partition.number);
  if (!seat || seat->assignment() != assignment) return;
  const auto from = seat->fetch_from();
  if (!consumer_->start(partition, from)) {
    retries_.push_back({context_.clock.now() + retry_seek_after, [=, this] { fetch(partition, assignment); }});
    return;
  }
  DEJA_FAILPOINT(after_seek);
  seat->fetching_from(from);
  DEJA_FAILPOINT(after_fetch_begun);
}

void Intake::lane_closed(const kafka::Partition&, std::uint64_t) { request([] {}); }  // wakes the loop, which looks itself

namespace {
// Pausing throws away what was prefetched, and librdkafka 2.0 fetches again only on a tick of a second: so pauses are rare (a wide
// band), and what is queued at the resume lasts until records come again.
constexpr std::size_t high_records = 40'000, low_records = 20'000;
constexpr std::size_t most_lane_bytes = 32U << 20, most_bytes = 512U << 20;

std::size_t high_bytes_of(std::size_t lanes, std::size_t batch_bytes) {
  return std::clamp(most_bytes / std::max<std::size_t>(1, lanes), batch_bytes, std::max(most_lane_bytes, batch_bytes));
}
}  // namespace

void Intake::apply_back_pressure() {
  const auto now = context_.clock.now();
  if (!retries_.empty() && retries_.front().first <= now) {
    const auto action = std::move(retries_.front().second);
    retries_.pop_front();
    action();
  }
  const auto high_bytes = high_bytes_of(seats_.size(), context_.batch_max_bytes), low_bytes = high_bytes / 2;
  for (auto& [partition, seat] : seats_) {
    if (seat.expected < 0 || seat.all_closed()) continue;
    if (!seat.paused && seat.full(high_records, high_bytes)) {
      consumer_->pause(partition);
      DEJA_FAILPOINT(after_pause);
      seat.paused = true;
    } else if (seat.paused && seat.has_room(low_records, low_bytes)) {
      consumer_->resume(partition);
      DEJA_FAILPOINT(after_resume);
      seat.paused = false;
      seat.uncertain = true;
      seat.sought_again = false;
    }
  }
}

void Intake::commit_offsets(bool wait) {
  last_offset_commit_ = context_.clock.now();
  if (revocation_ && !consumer_->may_commit_in_rebalance()) return;
  if (consumer_->take_commit_doubt())
    for (auto& [partition, seat] : seats_) seat.offset_in_kafka = -1;
  std::vector<kafka::CommittedOffset> offsets;
  for (auto& [partition, seat] : seats_) {
    const auto progress = seat.progress();
    if (!progress || progress->next_offset == seat.offset_in_kafka) continue;
    seat.offset_in_kafka = progress->next_offset;
    offsets.push_back({partition, progress->next_offset, "deja/" + progress->token});
  }
  if (offsets.empty()) return;
  consumer_->commit(offsets, wait);
  DEJA_FAILPOINT(after_offset_commit);
}

Seat* Intake::seat_of(std::string_view topic, std::int32_t partition) {
  if (last_seat_.second && last_seat_.first.number == partition && last_seat_.first.topic == topic) return last_seat_.second;
  const auto found = seats_.find(kafka::Partition{std::string(topic), partition});
  if (found == seats_.end()) return nullptr;
  last_seat_ = {found->first, &found->second};
  return last_seat_.second;
}

std::vector<std::shared_ptr<Lane>> Intake::lanes() const {
  const std::lock_guard lock(seats_mutex_);
  std::vector<std::shared_ptr<Lane>> all;
  for (const auto& [partition, seat] : seats_)
    for (const auto& l : seat.lanes) all.push_back(l.lane);
  return all;
}

std::optional<std::int64_t> Intake::committed(const kafka::Partition& partition) {
  const auto mark = committed_mark(partition);
  return mark ? std::optional(mark->offset) : std::nullopt;
}
std::optional<kafka::CommittedOffset> Intake::committed_mark(const kafka::Partition& partition) {
  return consumer_->committed(partition, look_up_wait);
}
std::optional<kafka::Watermarks> Intake::watermarks(const kafka::Partition& partition) { return consumer_->watermarks(partition, look_up_wait); }
std::optional<int> Intake::partition_count(const std::string& topic) { return consumer_->partition_count(topic, look_up_wait); }

}  // namespace deja::runtime
