#include <algorithm>

#include "core/event_number.h"
#include "failpoints/failpoint.h"
#include "runtime/failures.h"
#include "runtime/lane.h"
#include "runtime/worker.h"

// Events that Kafka refuses are set aside, and tried again beside those that flow (O2).

namespace deja::runtime {

namespace {
constexpr std::size_t set_aside_at_once = 500;
constexpr core::BackoffPolicy try_again_after{std::chrono::milliseconds(500), std::chrono::minutes(1)};
}  // namespace

void Lane::tend_outbox(Worker& worker, bool closing) {
  set_aside(worker);  // first: what is in the table already, its reply lost, is not to be taken for something that an operator let go
  if (aside_stale_) reload_aside(worker);
  fill_outbox(worker);
  if (closing && tried_again_) relay_.resender().withdraw(tried_again_);
  settle_tried(worker);
  if (!closing) try_again(worker);
  set_aside(worker);
}

// What follows a topic that is coming back stays in memory, and when that is much the lane waits for the next answer: rows that are added as
// fast as others leave would keep it aside for as long as the traffic lasts.
std::set<std::string> Lane::held_back() const {
  std::set<std::string> topics;
  const std::lock_guard lock(mutex_);
  if (close_by_ || aside_in_doubt_) return topics;
  for (const auto& [topic, aside] : aside_)
    if (aside.coming_back) topics.insert(topic);
  return topics;
}

// Something of what an operator changed is due now, whatever was refused before. Most changes are about parked records alone.
void Lane::reload_aside(Worker& worker) {
  const auto version = context_.stores.stuck.version(worker.connection(), row_.id);
  DEJA_FAILPOINT(after_aside_load);
  if (version == aside_version_) {
    aside_stale_ = false;
    return;
  }
  const auto view = context_.stores.stuck.load(worker.connection(), row_.id, row_.published_seq);
  DEJA_FAILPOINT(after_aside_load);
  aside_stale_ = false;
  aside_.clear();
  know_aside(view);
  outbox_->reload(view);
  outbox_->pump();
}

void Lane::know_aside(const postgres::StuckView& view) {
  aside_version_ = view.version;
  for (const auto& topic : view.waiting) aside_[topic];
}

void Lane::set_aside(Worker& worker) {
  for (auto events = outbox_->to_set_aside(set_aside_at_once, held_back()); !events.empty(); events = outbox_->to_set_aside(set_aside_at_once, held_back())) {
    aside_in_doubt_ = true;
    const auto waiting = context_.stores.stuck.set_aside(worker.connection(), row_, events);
    if (!waiting) throw Fenced();
    DEJA_FAILPOINT(after_set_aside);
    aside_in_doubt_ = false;
    for (const auto& topic : *waiting) aside_[topic];
    for (const auto& e : events) {
      if (outbox_->refused(e.topic)) aside_[e.topic];  // to be given back, though all that there is of it is behind what is stuck
      if (!e.error.empty())
        context_.log.error("Kafka refuses an event; it is set aside, with what comes after it under its topic and key, and others pass",
                           {{"topic", partition_.topic}, {"partition", std::int64_t{partition_.number}}, {"lane", std::int64_t{number_}},
                            {"event_topic", e.topic}, {"seq", e.seq}, {"error", e.error}, {"remedy", "deja outbox list"}});
    }
    outbox_->set_aside(events);
    fill_outbox(worker);
  }
}

void Lane::try_again(Worker& worker) {
  const auto now = context_.clock.now();
  while (!tried_again_) {
    const auto due = std::min_element(aside_.begin(), aside_.end(), [](const auto& a, const auto& b) { return a.second.not_before < b.second.not_before; });
    if (due == aside_.end() || due->second.not_before > now) return;
    const auto topic = due->first;
    auto events = context_.stores.stuck.due(worker.connection(), row_.id, topic, due->second.page);
    DEJA_FAILPOINT(after_aside_read);
    if (events.empty()) {
      std::vector<core::Uuid> keys_left;
      if (outbox_->refused(topic)) keys_left = context_.stores.stuck.keys(worker.connection(), row_.id, topic);
      DEJA_FAILPOINT(after_aside_read);
      aside_.erase(topic);
      outbox_->released_topic(topic, keys_left);
      outbox_->pump();
      continue;
    }
    tried_again_ = std::make_shared<Resending>(outbox_->number_prefix(), topic, std::move(events), [lane = weak_from_this(), this] {
      if (const auto alive = lane.lock()) scheduler_.wake(alive);
    });
    tried_version_ = aside_version_;
    relay_.resender().submit(tried_again_);
  }
}

void Lane::settle_tried(Worker& worker) {
  if (!tried_again_ || !tried_again_->done()) return;
  const auto& tried = *tried_again_;
  const auto acknowledged = tried.acknowledged();
  const auto refusal = tried.refused();
  std::optional<postgres::StuckStore::Refused> refused;
  if (refusal) refused.emplace(postgres::StuckStore::Refused{refusal->first, refusal->second.fault == kafka::Fault::event && tried.size() == 1, refusal->second.error});
  const auto settled = context_.stores.stuck.settle(worker.connection(), row_, tried_version_, tried.topic(), acknowledged, tried.keys(), refused);
  if (!settled.mine) throw Fenced();
  DEJA_FAILPOINT(after_aside_done);
  const auto topic = tried.topic();
  const auto size = static_cast<std::int64_t>(tried.size());
  const bool alone = size == 1;
  tried_again_.reset();
  outbox_->published_late(acknowledged.size());
  if (refusal) outbox_->refused_again();
  outbox_->released(topic, settled.free_keys);
  if (settled.topic_free) outbox_->released_topic(topic, settled.keys_left);
  outbox_->pump();
  if (settled.stuck)
    context_.log.error("Kafka refuses an event that went alone; it and what is behind it wait for an operator",
                       {{"topic", partition_.topic}, {"partition", std::int64_t{partition_.number}}, {"lane", std::int64_t{number_}}, {"event_topic", topic},
                        {"seq", refused->seq}, {"error", refused->error}, {"remedy", "deja outbox retry, or deja outbox discard"}});
  if (settled.topic_free) {
    aside_.erase(topic);
    if (!settled.stuck)
      context_.log.info("events that were set aside are published", {{"topic", partition_.topic}, {"partition", std::int64_t{partition_.number}}, {"lane", std::int64_t{number_}}, {"event_topic", topic}});
    return;
  }
  auto& again = aside_[topic];
  again.coming_back = !refusal && !acknowledged.empty();
  again.not_before = context_.clock.now();  // behind the other topics
  if (!settled.stuck && acknowledged.empty() && (alone || !refused)) {
    again.not_before += core::full_jitter(try_again_after, again.failures++, worker.random().unit());
  }
  if (!acknowledged.empty()) again.failures = 0;
  if (refusal) again.most = alone ? Aside().most : size / 2;
  again.page = refusal ? 1 : std::min(again.most, again.page * 4);
}

void Lane::forget_aside() {
  if (tried_again_) relay_.resender().withdraw(tried_again_);
  tried_again_.reset();
  aside_.clear();
  aside_stale_ = aside_in_doubt_ = false;
}

Next Lane::wake_for_aside(Next next) const {
  if (aside_.empty() || tried_again_ || closed_ || next.when == Next::When::now) return next;
  const auto first = std::min_element(aside_.begin(), aside_.end(), [](const auto& a, const auto& b) { return a.second.not_before < b.second.not_before; });
  const auto due = std::max(first->second.not_before, not_before_);
  return next.when == Next::When::at && next.time <= due ? next : Next::at(due);
}

}  // namespace deja::runtime
