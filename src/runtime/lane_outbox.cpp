#include "runtime/lane_outbox.h"

#include "failpoints/failpoint.h"
#include "runtime/relay.h"

namespace deja::runtime {

namespace {
// Per lane. Beyond it events wait in the table, so that memory stays flat while Kafka is away.
constexpr std::size_t max_entries = 20000, low_entries = 2000;
constexpr std::size_t max_bytes = 16U << 20;
}  // namespace

LaneOutbox::LaneOutbox(Relay& relay, core::Metrics& metrics, const std::string& topic, std::string number_prefix, std::int64_t published_seq,
                       std::int64_t next_event_seq, std::function<void()> all_acknowledged)
    : relay_(relay), number_prefix_(std::move(number_prefix)), published_(metrics.counter("deja_outbox_published_total", {topic})),
      errors_(metrics.counter("deja_outbox_publish_errors_total", {topic})), duration_(metrics.histogram("deja_outbox_publish_duration_seconds", {topic})), all_acknowledged_(std::move(all_acknowledged)),
      acknowledged_(published_seq), table_{published_seq + 1, next_event_seq} {}

void LaneOutbox::append(std::int64_t seq, core::OutboundEvent event) {
  bytes_ += event.size();
  entries_.push_back({seq, std::move(event), core::Steady::now()});
}

void LaneOutbox::committed(std::int64_t first_seq, std::vector<core::OutboundEvent> events) {
  const std::lock_guard lock(mutex_);
  table_.until = std::max(table_.until, first_seq);  // an operator's events, which only the table has
  for (auto& event : events) {
    if (table_.from < table_.until || entries_.size() >= max_entries || bytes_ >= max_bytes) table_.until = first_seq + 1;
    else {
      append(first_seq, std::move(event));
      table_ = {first_seq + 1, first_seq + 1};
    }
    ++first_seq;
  }
}

void LaneOutbox::committed_in_table(std::int64_t next_event_seq) {
  const std::lock_guard lock(mutex_);
  table_.until = std::max(table_.until, next_event_seq);
}

std::optional<LaneOutbox::Range> LaneOutbox::wanted() const {
  const std::lock_guard lock(mutex_);
  if (table_.from >= table_.until || entries_.size() > low_entries || bytes_ > max_bytes / 2) return std::nullopt;
  return table_;
}

void LaneOutbox::fill(std::vector<postgres::StoredEvent> events) {
  const std::lock_guard lock(mutex_);
  for (auto& e : events) {
    if (e.seq != table_.from) continue;  // numbers have no gaps; anything else was read for an older range
    append(e.seq, std::move(e.event));
    ++table_.from;
  }
}

std::int64_t LaneOutbox::acknowledged() const {
  const std::lock_guard lock(mutex_);
  return acknowledged_;
}

std::int64_t LaneOutbox::unpublished() const {
  const std::lock_guard lock(mutex_);
  return table_.until - 1 - acknowledged_;
}

bool LaneOutbox::probing() const {
  const std::lock_guard lock(mutex_);
  return probing_ && !abandoned_;
}

bool LaneOutbox::pump() {
  return relay_.with_producer([&](kafka::Producer& producer) {
    const std::lock_guard lock(mutex_);
    while (!abandoned_ && unsent_ < entries_.size() && !(probing_ && unsent_ > 0)) {
      auto& entry = entries_[unsent_];
      if (entry.acknowledged) {
        ++unsent_;
        continue;
      }
      std::string error;
      DEJA_FAILPOINT(before_publish);
      switch (producer.send(shared_from_this(), entry.seq, entry.event, number_prefix_ + std::to_string(entry.seq), error)) {
        case kafka::Producer::Sent::queue_full:
          return false;
        case kafka::Producer::Sent::refused:
          refused(producer.generation(), entry, error);
          return true;  // the new producer starts from here
        case kafka::Producer::Sent::yes:
          DEJA_FAILPOINT(after_handed);
          ++unsent_;
      }
    }
    return true;
  });
}

void LaneOutbox::start_over() {
  const std::lock_guard lock(mutex_);
  unsent_ = 0;
}

void LaneOutbox::abandon() {
  const std::lock_guard lock(mutex_);
  abandoned_ = true;
  entries_.clear();
  unsent_ = bytes_ = 0;
}

void LaneOutbox::delivered(std::int64_t seq, std::uint64_t producer_generation, const std::string& error) {
  bool all = false, released = false;
  {
    const std::lock_guard lock(mutex_);
    if (abandoned_ || entries_.empty() || seq < entries_.front().seq || !relay_.is_current(producer_generation)) return;
    auto& entry = entries_[static_cast<std::size_t>(seq - entries_.front().seq)];
    if (!error.empty()) return refused(producer_generation, entry, error);
    if (entry.acknowledged) return;
    if (seq == entries_.front().seq) released = std::exchange(probing_, false);
    entry.acknowledged = true;
    published_.add();
    duration_.observe(std::chrono::duration<double>(core::Steady::now() - entry.handed).count());
    while (!entries_.empty() && entries_.front().acknowledged) {
      acknowledged_ = entries_.front().seq;
      bytes_ -= std::min(bytes_, entries_.front().event.size());
      entries_.pop_front();
      if (unsent_ > 0) --unsent_;
    }
    all = entries_.empty();
  }
  DEJA_FAILPOINT(after_acknowledge);
  if (released) pump();
  if (all) all_acknowledged_();
}

void LaneOutbox::refused(std::uint64_t generation, const Entry& entry, const std::string& error) {
  probing_ = true;
  errors_.add();
  relay_.failed(generation, entry.event.topic, error);
}

}  // namespace deja::runtime
