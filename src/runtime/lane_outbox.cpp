#include "runtime/lane_outbox.h"

#include <algorithm>
#include <string_view>

#include "failpoints/failpoint.h"
#include "runtime/relay.h"

namespace deja::runtime {

namespace {
// Per lane. Beyond it events wait in the table, so that memory stays flat while Kafka is away.
constexpr std::size_t max_entries = 20000, low_entries = 2000;
constexpr std::size_t max_bytes = 16U << 20;
constexpr auto limited_for = std::chrono::minutes(1);
constexpr std::size_t max_held_back = 1000, max_bytes_held_back = 4U << 20;
}  // namespace

LaneOutbox::LaneOutbox(Relay& relay, core::Metrics& metrics, const std::string& topic, std::string number_prefix, std::int64_t published_seq,
                       std::int64_t next_event_seq, const postgres::StuckView& aside, std::function<void()> all_acknowledged, std::function<void()> refused)
    : relay_(relay), number_prefix_(std::move(number_prefix)), published_(metrics.counter("deja_outbox_published_total", {topic})),
      errors_(metrics.counter("deja_outbox_publish_errors_total", {topic})), duration_(metrics.histogram("deja_outbox_publish_duration_seconds", {topic})), all_acknowledged_(std::move(all_acknowledged)), refused_(std::move(refused)),
      acknowledged_(published_seq), table_{published_seq + 1, next_event_seq}, passed_(aside.passed.begin(), aside.passed.end()) {
  for (const auto& key : aside.keys) aside_.add(key.topic, key.id);
}

// True when it has to be set aside.
bool LaneOutbox::append(std::int64_t seq, core::OutboundEvent event) {
  bytes_ += event.size();
  auto& entry = entries_.emplace_back(Entry{seq, std::move(event), core::Steady::now()});
  if (passed_.erase(seq) > 0) {
    entry.state = State::done;
    remove_done();
    return false;
  }
  if (!aside_.follows(entry.event)) return false;
  entry.state = State::follows;
  ++to_set_aside_;
  return true;
}

void LaneOutbox::committed(std::int64_t first_seq, std::vector<core::OutboundEvent> events) {
  bool any_follow = false;
  {
    const std::lock_guard lock(mutex_);
    table_.until = std::max(table_.until, first_seq);  // an operator's events, which only the table has
    for (auto& event : events) {
      if (table_.from < table_.until || entries_.size() >= max_entries || bytes_ >= max_bytes) table_.until = first_seq + 1;
      else {
        any_follow = append(first_seq, std::move(event)) || any_follow;
        table_ = {first_seq + 1, first_seq + 1};
      }
      ++first_seq;
    }
  }
  if (any_follow) refused_();
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
    append(e.seq, std::move(e.event));  // who fills looks for what is to be set aside
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
  bool any_refused = false;
  const bool done = relay_.with_producer([&](kafka::Producer& producer) {
    const std::lock_guard lock(mutex_);
    while (!abandoned_ && unsent_ < entries_.size() && in_flight_ < (probing_ ? 1 : at_once_)) {
      auto& entry = entries_[unsent_];
      if (entry.state != State::waiting) {
        ++unsent_;
        continue;
      }
      kafka::Refusal refusal;
      DEJA_FAILPOINT(before_publish);
      switch (producer.send(shared_from_this(), entry.seq, entry.event, number_prefix_ + std::to_string(entry.seq), refusal)) {
        case kafka::Producer::Sent::queue_full:
          return false;
        case kafka::Producer::Sent::refused:
          if (refusal.fault == kafka::Fault::producer) {
            refused(producer.generation(), entry, refusal);
            return true;  // the new producer starts from here
          }
          errors_.add();  // before it left: it is this one's fault and the producer is as good as before
          to_be_set_aside(entry, refusal);
          any_refused = true;
          break;
        case kafka::Producer::Sent::yes:
          DEJA_FAILPOINT(after_handed);
          entry.state = State::sent;
          ++in_flight_;
          ++unsent_;
      }
    }
    return true;
  });
  if (any_refused) refused_();
  return done;
}

void LaneOutbox::start_over() {
  const std::lock_guard lock(mutex_);
  unsent_ = in_flight_ = 0;
  for (auto& entry : entries_)
    if (entry.state == State::sent) entry.state = State::waiting;
  look_who_follows();
}

void LaneOutbox::abandon() {
  const std::lock_guard lock(mutex_);
  abandoned_ = true;
  entries_.clear();
  unsent_ = bytes_ = in_flight_ = to_set_aside_ = 0;
}

void LaneOutbox::delivered(std::int64_t seq, std::uint64_t producer_generation, const std::optional<kafka::Refusal>& refusal) {
  bool all = false, released = false, any_refused = false;
  {
    const std::lock_guard lock(mutex_);
    if (abandoned_ || entries_.empty() || seq < entries_.front().seq || !relay_.is_current(producer_generation)) return;
    auto& entry = entries_[static_cast<std::size_t>(seq - entries_.front().seq)];
    if (entry.state != State::sent) return;
    if (refusal) {
      refused(producer_generation, entry, *refusal);
      any_refused = entry.state == State::refused;
    } else {
      if (--in_flight_ == 0) {  // others in flight were sent before it was alone
        released = std::exchange(probing_, false) || at_once_ != no_limit;
        widen();
      }
      entry.state = State::done;
      published_.add();
      duration_.observe(std::chrono::duration<double>(core::Steady::now() - entry.handed).count());
      remove_done();
      all = entries_.empty();
    }
  }
  if (any_refused) refused_();
  if (refusal) return;
  DEJA_FAILPOINT(after_acknowledge);
  if (released) pump();
  if (all) all_acknowledged_();
}

void LaneOutbox::remove_done() {
  while (!entries_.empty() && entries_.front().state == State::done) {
    acknowledged_ = entries_.front().seq;
    bytes_ -= std::min(bytes_, entries_.front().event.size());
    entries_.pop_front();
    if (unsent_ > 0) --unsent_;
  }
}

void LaneOutbox::widen() {
  if (at_once_ == no_limit) return;
  if (core::Steady::now() > limited_until_) at_once_ = most_at_once_ = no_limit;
  else at_once_ = std::min(most_at_once_, at_once_ * 4);
}

// A broker refuses a whole request for one event in it, so that only one that went alone is known to be refused itself. The producer is
// rebuilt each time: for what was behind it the guarantee of its order is gone.
void LaneOutbox::refused(std::uint64_t generation, Entry& entry, const kafka::Refusal& refusal) {
  errors_.add();
  const bool aside = std::exchange(probing_, true) && in_flight_ == 1 && refusal.fault != kafka::Fault::producer;
  if (aside) {
    at_once_ = most_at_once_ = no_limit;
    to_be_set_aside(entry, refusal);
  } else if (in_flight_ > 1 && refusal.fault == kafka::Fault::event) {
    at_once_ = 1;
    most_at_once_ = in_flight_ / 2;
    limited_until_ = core::Steady::now() + limited_for;
  }
  relay_.failed(generation, entry.event.topic, refusal.error, aside);
}

void LaneOutbox::to_be_set_aside(Entry& entry, const kafka::Refusal& refusal) {
  entry.state = State::refused;
  entry.refusal = refusal;
  ++to_set_aside_;
  aside_.add(entry.event.topic, aside_.key_id(entry.event));
  if (refusal.fault == kafka::Fault::topic) aside_.refuse(entry.event.topic);
  look_who_follows();
  probing_ = probing_ && any_left();
}

bool LaneOutbox::any_left() const {
  return std::any_of(entries_.begin(), entries_.end(), [](const Entry& e) { return e.state == State::waiting || e.state == State::sent; });
}

// What was sent stays so: Kafka has it, or the producer is rebuilt and it is waiting then.
void LaneOutbox::look_who_follows() {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    auto& entry = entries_[i];
    if (entry.state == State::waiting && aside_.follows(entry.event)) {
      entry.state = State::follows;
      ++to_set_aside_;
    } else if (entry.state == State::follows && !aside_.follows(entry.event)) {
      entry.state = State::waiting;
      --to_set_aside_;
      unsent_ = std::min(unsent_, i);
    }
  }
}

bool LaneOutbox::refused(const std::string& topic) const {
  const std::lock_guard lock(mutex_);
  return aside_.refused(topic);
}

bool LaneOutbox::too_many(const std::set<std::string>& held_back) const {
  if (held_back.empty()) return false;
  const std::lock_guard lock(mutex_);
  std::size_t events = 0, bytes = 0;
  for (const auto& entry : entries_)
    if (entry.state == State::follows && held_back.contains(entry.event.topic)) {
      ++events;
      bytes += entry.event.size();
    }
  return events > max_held_back || bytes > max_bytes_held_back;
}

std::vector<postgres::EventAside> LaneOutbox::to_set_aside(std::size_t limit, const std::set<std::string>& held_back) const {
  const std::lock_guard lock(mutex_);
  std::vector<postgres::EventAside> found;
  if (to_set_aside_ == 0) return found;
  core::EventsAside ids;
  std::unordered_set<std::string_view> on_their_way;  // topics: an earlier event of the same key is to arrive first
  for (const auto& entry : entries_) {
    if (entry.state == State::waiting || entry.state == State::sent) on_their_way.insert(entry.event.topic);
    if ((entry.state != State::refused && entry.state != State::follows) || on_their_way.contains(entry.event.topic)) continue;
    if (entry.state == State::follows && held_back.contains(entry.event.topic)) continue;
    found.push_back({entry.seq, entry.event.topic, ids.key_id(entry.event), entry.refusal.error});
    if (found.size() == limit) break;
  }
  return found;
}

void LaneOutbox::set_aside(const std::vector<postgres::EventAside>& events) {
  bool all;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& e : events) {
      if (abandoned_ || entries_.empty()) break;
      entries_[static_cast<std::size_t>(e.seq - entries_.front().seq)].state = State::done;
      --to_set_aside_;
    }
    remove_done();
    all = entries_.empty();
  }
  if (all) all_acknowledged_();
}

void LaneOutbox::released_topic(const std::string& topic, const std::vector<core::Uuid>& keys_left) {
  const std::lock_guard lock(mutex_);
  aside_.release_topic(topic);
  for (const auto& id : keys_left) aside_.add(topic, id);
  still_refused();
  look_who_follows();
}

void LaneOutbox::released(const std::string& topic, const std::vector<core::Uuid>& key_ids) {
  const std::lock_guard lock(mutex_);
  for (const auto& id : key_ids) aside_.release_key(topic, id);
  still_refused();
  look_who_follows();
}

void LaneOutbox::reload(const postgres::StuckView& aside) {
  const std::lock_guard lock(mutex_);
  const auto before = std::exchange(aside_, core::EventsAside());
  for (const auto& key : aside.keys) aside_.add(key.topic, key.id);
  for (const auto& topic : aside.waiting)
    if (before.refused(topic)) aside_.refuse(topic);
  still_refused();
  look_who_follows();
}

// Those that are not in the table yet.
void LaneOutbox::still_refused() {
  for (const auto& entry : entries_) {
    if (entry.state != State::refused) continue;
    aside_.add(entry.event.topic, aside_.key_id(entry.event));
    if (entry.refusal.fault == kafka::Fault::topic) aside_.refuse(entry.event.topic);
  }
}

}  // namespace deja::runtime
