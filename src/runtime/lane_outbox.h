#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "core/events_aside.h"
#include "core/metrics.h"
#include "core/outbound_event.h"
#include "kafka/producer.h"
#include "postgres/outbox_store.h"
#include "postgres/stuck_store.h"

namespace deja::runtime {

class Relay;

/// The committed events of one lane that Kafka does not have yet, in order: the first ones in memory, what does not fit there
/// stays in the table until its turn. One per take-over.
///
/// An event that Kafka refuses when it goes alone is to be set aside, and later ones of its topic and key with it (O2): they are passed
/// over here, the owner writes them to the table of events set aside and says so.
///
/// Threading: any thread. Locks: the relay's producer before this object's own.
class LaneOutbox final : public kafka::DeliveryTarget, public std::enable_shared_from_this<LaneOutbox> {
 public:
  /// Everything in [published_seq + 1, next_event_seq) waits in the table: what the owner before left. `number_prefix`: of the header
  /// that numbers the lane's events, see core/event_number.h.
  LaneOutbox(Relay& relay, core::Metrics& metrics, const std::string& topic, std::string number_prefix, std::int64_t published_seq,
             std::int64_t next_event_seq, const postgres::StuckView& aside, std::function<void()> all_acknowledged, std::function<void()> refused);

  /// After the commit of a batch.
  void committed(std::int64_t first_seq, std::vector<core::OutboundEvent> events);
  /// After a commit that was settled later, or an operator's: the events are read from the table.
  void committed_in_table(std::int64_t next_event_seq);

  struct Range {
    std::int64_t from, until;
  };
  /// What should be read from the table now.
  std::optional<Range> wanted() const;
  void fill(std::vector<postgres::StoredEvent> events);

  /// Kafka has every event up to this number, or it was set aside.
  std::int64_t acknowledged() const;
  std::int64_t unpublished() const;

  /// Events to set aside, the first ones in order, at most `limit`. What follows in the topics `held_back` is not among them.
  std::vector<postgres::EventAside> to_set_aside(std::size_t limit, const std::set<std::string>& held_back) const;
  /// So many follow in these topics that memory would fill with them.
  bool too_many(const std::set<std::string>& held_back) const;
  /// All events of the topic follow.
  bool refused(const std::string& topic) const;
  /// They are in the table now.
  void set_aside(const std::vector<postgres::EventAside>& events);
  /// None of these keys is set aside any more. What follows them goes the usual way.
  void released(const std::string& topic, const std::vector<core::Uuid>& key_ids);
  /// Nothing waits for the topic any more, and of these keys some still wait for an operator: they may have followed their topic so far.
  void released_topic(const std::string& topic, const std::vector<core::Uuid>& keys_left);
  /// What is set aside, read again.
  void reload(const postgres::StuckView& aside);
  /// So many that were set aside reached Kafka after all.
  void published_late(std::size_t events) { published_.add(static_cast<double>(events)); }
  void refused_again() { errors_.add(); }
  const std::string& number_prefix() const { return number_prefix_; }

  /// An event was refused for good and is tried alone.
  bool probing() const;
  /// Sends what can be sent. False: the producer's queue is full, call again after deliveries.
  bool pump();
  /// A new producer: what is not acknowledged is sent again.
  void start_over();
  /// The lane went to another owner, who publishes the rest.
  void abandon();

  void delivered(std::int64_t seq, std::uint64_t producer_generation, const std::optional<kafka::Refusal>& refusal) override;

 private:
  enum class State { waiting, sent, refused, follows, done };  // refused and follows: to be set aside
  struct Entry {
    std::int64_t seq;
    core::OutboundEvent event;
    core::Steady::time_point handed;
    State state = State::waiting;
    kafka::Refusal refusal = {};
  };
  bool append(std::int64_t seq, core::OutboundEvent event);
  void widen();
  void refused(std::uint64_t generation, Entry& entry, const kafka::Refusal& refusal);
  void to_be_set_aside(Entry& entry, const kafka::Refusal& refusal);
  bool any_left() const;
  void look_who_follows();
  void remove_done();
  void still_refused();

  Relay& relay_;
  const std::string number_prefix_;
  core::Counter& published_;
  core::Counter& errors_;
  core::Histogram& duration_;
  const std::function<void()> all_acknowledged_, refused_;
  mutable std::mutex mutex_;
  std::deque<Entry> entries_;  // consecutive numbers
  std::size_t unsent_ = 0;     // index of the first entry that may wait to be sent
  std::size_t in_flight_ = 0;  // sent and not yet acknowledged
  std::size_t bytes_ = 0;
  std::int64_t acknowledged_;
  Range table_;  // after the entries
  core::EventsAside aside_;
  std::unordered_set<std::int64_t> passed_;  // set aside by an owner before, though published_seq was not past them
  std::size_t to_set_aside_ = 0;
  bool abandoned_ = false;
  bool probing_ = false;  // an event was refused: it goes alone until Kafka takes it, so that nothing more overtakes it
  // What is refused among others may be one of them, or all together be too large for one request: more and more are sent at a time, and for
  // a while no more than half of those.
  static constexpr std::size_t no_limit = std::numeric_limits<std::size_t>::max();
  std::size_t at_once_ = no_limit, most_at_once_ = no_limit;
  core::Steady::time_point limited_until_{};
};

}  // namespace deja::runtime
