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
constexpr std::int64_t most_at_once = 500;
constexpr core::BackoffPolicy try_again_after{std::chrono::milliseconds(500), std::chrono::minutes(1)};
}  // namespace

void Lane::tend_outbox(Worker& worker, bool closing) {
  set_aside(worker);  // first: what is in the table already, its reply lost, is not to be taken for something that an operator let go
  if (aside_stale_) reload_aside(worker);
  fill_outbox(worker);
  set_aside(worker);
  settle_tried(worker);
  if (!closing) try_again(worker);
}

// Something of what an operator changed is due now, whatever was refused before.
void Lane::reload_aside(Worker& worker) {
  const auto view = context_.stores.stuck.load(worker.connection(), row_.id, row_.published_seq);
  DEJA_FAILPOINT(after_aside_load);
  aside_stale_ = false;
  aside_.clear();
  for (const auto& topic : view.waiting) aside_[topic];
  outbox_->reload(view);
  outbox_->pump();
}

void Lane::set_aside(Worker& worker) {
  for (auto events = outbox_->to_set_aside(set_aside_at_once); !events.empty(); events = outbox_->to_set_aside(set_aside_at_once)) {
    if (!context_.stores.stuck.set_aside(worker.connection(), row_, events)) throw Fenced();
    DEJA_FAILPOINT(after_set_aside);
    for (const auto& e : events) {
      aside_.try_emplace(e.topic);
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
    const auto due = std::find_if(aside_.begin(), aside_.end(), [&](const auto& each) { return each.second.not_before <= now; });
    if (due == aside_.end()) return;
    const auto topic = due->first;
    auto events = context_.stores.stuck.due(worker.connection(), row_.id, topic, due->second.page);
    DEJA_FAILPOINT(after_aside_read);
    if (events.empty()) {
      const auto keys_left = context_.stores.stuck.keys(worker.connection(), row_.id, topic);
      DEJA_FAILPOINT(after_aside_read);
      aside_.erase(topic);
      outbox_->released_topic(topic, keys_left);
      outbox_->pump();
      continue;
    }
    tried_again_ = std::make_shared<Resending>(outbox_->number_prefix(), topic, std::move(events), [lane = weak_from_this(), this] {
      if (const auto alive = lane.lock()) scheduler_.wake(alive);
    });
    tried_version_ = row_.parked_version;
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
  auto row = row_;
  row.parked_version = tried_version_;
  const auto settled = context_.stores.stuck.settle(worker.connection(), row, tried.topic(), acknowledged, tried.keys(), refused);
  if (!settled.mine) throw Fenced();
  DEJA_FAILPOINT(after_aside_done);
  const auto topic = tried.topic();
  const bool alone = tried.size() == 1;
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
  if (!settled.stuck && acknowledged.empty() && (alone || !refused)) {
    again.not_before = context_.clock.now() + core::full_jitter(try_again_after, again.failures++, worker.random().unit());
  }
  if (!acknowledged.empty()) again.failures = 0;
  again.page = refusal ? 1 : std::min(most_at_once, again.page * 4);
}

void Lane::forget_aside() {
  if (tried_again_) tried_again_->cancel();
  tried_again_.reset();
  aside_.clear();
  aside_stale_ = false;
}

Next Lane::wake_for_aside(Next next) const {
  if (aside_.empty() || tried_again_ || closed_ || next.when == Next::When::now) return next;
  const auto first = std::min_element(aside_.begin(), aside_.end(), [](const auto& a, const auto& b) { return a.second.not_before < b.second.not_before; });
  const auto due = std::max(first->second.not_before, not_before_);
  return next.when == Next::When::at && next.time <= due ? next : Next::at(due);
}

}  // namespace deja::runtime
