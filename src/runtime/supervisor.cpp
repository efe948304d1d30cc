#include "runtime/supervisor.h"

#include <algorithm>

#include "failpoints/failpoint.h"
#include "postgres/abandoned_lanes.h"
#include "postgres/errors.h"

namespace deja::runtime {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {
constexpr seconds look_every{1}, measure_every{5}, advance_every{2};
constexpr milliseconds feed_every{200};
constexpr std::int64_t segment_bytes = 64LL << 20;

// Label values must be few: the words before the first colon or bracket.
std::string cause_label(const std::string& cause) {
  for (const char* known : {"paused by an operator", "postgres is away", "log lost", "waiting for a lock", "Kafka does not answer", "no room to park a record", "flood"})
    if (cause.starts_with(known)) return known;
  return cause.find(" is unavailable") != std::string::npos ? "dependency is unavailable" : "other";
}
}  // namespace

Supervisor::Supervisor(const Context& context, Intake& intake, const postgres::RegistryStore& registry, std::string instance,
                       std::vector<std::pair<std::string, std::string>> topics_and_handlers,
                       std::vector<postgres::Registration> registrations)
    : context_(context), intake_(intake), registry_(registry), instance_(std::move(instance)), topics_and_handlers_(std::move(topics_and_handlers)),
      registrations_(std::move(registrations)), abandoned_(context.schema, context.batch.group), replays_(context.stores.replays, context.log) {
  for (const auto& [topic, handler] : topics_and_handlers_) abandoned_shown_.emplace(topic, 0);
}

void Supervisor::start() {
  thread_ = std::thread([this] { run(); });
}

void Supervisor::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

postgres::Connection& Supervisor::connection() {
  if (!connection_ || connection_->broken()) {
    connection_.reset();
    connection_ = std::make_unique<postgres::Connection>(context_.connection);
    DEJA_FAILPOINT(after_supervisor_connect);
    context_.dependencies.up("postgres");
  }
  return *connection_;
}

void Supervisor::run() {
  auto next_measure = context_.clock.now();
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    const bool measure = context_.clock.now() >= next_measure;
    if (measure) {
      next_measure = context_.clock.now() + measure_every;
      if (intake_.consumer().reachable(milliseconds(3000))) context_.dependencies.up("kafka");
      else context_.dependencies.down("kafka", "no broker answers");
      DEJA_FAILPOINT(after_kafka_look);
    }
    measure_lanes();
    bool replaying = false;
    try {
      enter();
      look_at_rows();
      advance_idle_lanes();
      show_pauses();
      if (measure) {
        measure_database();
        measure_abandoned_lanes();
        tidy_outbox();
      }
      sync_breakers(measure);
      sync_floods(measure);
      report_deliveries(measure);
      replaying = replays_.feed(connection());
    } catch (const std::exception& e) {
      const auto failure = postgres::classify(e, connection_ && !connection_->broken());
      connection_.reset();
      if (failure.kind == postgres::Failure::lost_connection || failure.kind == postgres::Failure::unavailable)
        context_.dependencies.down("postgres", failure.message);
      else if (failure.kind != postgres::Failure::repeat)
        context_.log.warn("the supervisor's look at the database failed", {{"error", failure.message}});
    }
    lock.lock();
    wake_.wait_for(lock, replaying ? feed_every : look_every, [&] { return stopping_; });
  }
  leave();
}

// L4: token or batch_seq not as this owner left them. A quiet owner would never notice otherwise.
void Supervisor::look_at_rows() {
  std::map<std::int32_t, std::pair<std::shared_ptr<Lane>, postgres::LaneState>> left;
  std::vector<std::int32_t> ids;
  for (const auto& lane : intake_.lanes())
    if (const auto row = lane->settled_row()) {
      left.emplace(row->id, std::pair(lane, *row));
      ids.push_back(row->id);
    }
  if (ids.empty()) return;
  for (const auto& seen : context_.stores.lanes.look(connection(), ids)) {
    DEJA_FAILPOINT(after_row_look);
    const auto& [lane, row] = left.at(seen.id);
    if (seen.token == row.token && seen.batch_seq == row.batch_seq) {
      if (seen.parked_version != row.parked_version) lane->parked_changed();
      continue;
    }
    const auto now = lane->settled_row();
    if (!now || now->batch_seq != row.batch_seq) continue;  // it moved meanwhile, by itself
    lane->verify();
  }
}

// L7: a quiet lane follows its partition, over other lanes' records and over transaction markers; else it would fall behind retention.
// The newest witness of the partition's lanes serves them all.
void Supervisor::advance_idle_lanes() {
  const auto now = context_.clock.now();
  if (now < next_advance_) return;
  next_advance_ = now + advance_every;
  std::map<kafka::Partition, postgres::Witness> newest;
  std::vector<std::pair<std::shared_ptr<Lane>, postgres::LaneStore::IdleLane>> held;
  for (const auto& lane : intake_.lanes()) {
    if (auto idle = lane->begin_advance()) held.emplace_back(lane, std::move(*idle));
    const auto row = lane->last_row();
    if (!row || !row->witness) continue;
    auto& witness = newest[lane->partition()];
    if (row->witness->offset > witness.offset) witness = *row->witness;
  }
  if (held.empty()) return;
  std::vector<postgres::LaneStore::IdleLane> idle;
  for (auto& [lane, move] : held) {
    if (const auto witness = newest.find(lane->partition()); witness != newest.end() && witness->second.offset < move.next_offset) move.witness = witness->second;
    idle.push_back(move);
  }
  std::optional<std::vector<std::int32_t>> moved;
  try {
    moved = context_.stores.lanes.advance_idle(connection(), idle);
    DEJA_FAILPOINT(after_idle_advance);
  } catch (...) {
    for (auto& [lane, move] : held) lane->end_advance(move, std::nullopt);
    throw;
  }
  for (auto& [lane, move] : held) lane->end_advance(move, std::find(moved->begin(), moved->end(), move.row.id) != moved->end());
}

void Supervisor::measure_lanes() {
  auto& metrics = context_.metrics;
  const auto now = context_.clock.now();
  std::map<std::string, int> owned;
  std::map<std::string, std::int64_t> unpublished;
  std::map<std::pair<std::string, std::string>, int> paused;
  std::map<kafka::Partition, std::int64_t> slowest;
  for (const auto& lane : intake_.lanes()) {
    const auto s = lane->status();
    const auto position = lane->position();
    if (position < 0) continue;
    const auto [at, is_first] = slowest.try_emplace(lane->partition(), position);
    if (!is_first) at->second = std::min(at->second, position);
    ++owned[s.topic];
    unpublished[s.topic] += lane->unpublished();
    if (!s.paused_cause.empty()) ++paused[{s.topic, cause_label(s.paused_cause)}];
  }
  std::set<kafka::Partition> shown;
  for (const auto& [partition, position] : slowest) {
    shown.insert(partition);
    const auto marks = intake_.watermarks_seen(partition);
    const auto lag = marks.high >= 0 ? std::max<std::int64_t>(0, marks.high - position) : 0;
    auto& stall = stalls_[partition];
    if (stall.next_offset != position || lag == 0) stall = {position, now};
    const core::Labels labels{partition.topic, std::to_string(partition.number)};
    metrics.gauge("deja_consumer_lag_records", labels).set(static_cast<double>(lag));
    metrics.gauge("deja_lane_stalled_seconds", labels).set(std::chrono::duration<double>(now - stall.since).count());
  }
  for (const auto& gone : shown_)
    if (!shown.contains(gone)) {
      metrics.forget("deja_consumer_lag_records", {gone.topic, std::to_string(gone.number)});
      metrics.forget("deja_lane_stalled_seconds", {gone.topic, std::to_string(gone.number)});
      stalls_.erase(gone);
    }
  shown_ = std::move(shown);
  for (const auto& [topic, handler] : topics_and_handlers_) {
    metrics.gauge("deja_lanes_owned", {topic}).set(owned[topic]);
    metrics.gauge("deja_outbox_unpublished_events", {topic}).set(static_cast<double>(unpublished[topic]));
  }
  for (const auto& old : shown_pauses_)
    if (!paused.contains(old)) metrics.gauge("deja_lanes_paused", {old.first, old.second}).set(0);
  for (const auto& [labels, count] : paused) {
    metrics.gauge("deja_lanes_paused", {labels.first, labels.second}).set(count);
    shown_pauses_.insert(labels);
  }
  if (const auto errors = intake_.consumer().take_commit_errors(); errors > 0)
    for (const auto& [topic, handler] : topics_and_handlers_)
      metrics.counter("deja_offset_commit_errors_total", {topic}).add(static_cast<double>(errors));
}

// For `deja handlers`: who runs what.
void Supervisor::enter() {
  if (entered_) return;
  for (const auto& registration : registrations_) registry_.enter(connection(), registration);
  DEJA_FAILPOINT(after_registry_entry);
  entered_ = true;
}

void Supervisor::leave() {
  try {
    if (!entered_ || !connection_ || connection_->broken()) return;
    registry_.leave(*connection_, instance_);
    DEJA_FAILPOINT(after_registry_exit);
    if (!breakers_in_rows_.empty()) {
      context_.stores.breakers.leave(*connection_);
      DEJA_FAILPOINT(after_breaker_exit);
    }
    if (!floods_in_rows_.empty()) {
      context_.stores.floods.leave(*connection_);
      DEJA_FAILPOINT(after_flood_exit);
    }
  } catch (const std::exception&) {  // the row grows old instead
  }
}

// For `deja lanes`, which has only the database to ask.
void Supervisor::show_pauses() {
  for (const auto& lane : intake_.lanes()) {
    const auto row = lane->settled_row();
    if (!row) continue;
    const auto s = lane->status();
    auto& shown = pauses_in_rows_[row->id];
    const auto cause = s.paused_cause.empty() ? "" : row->token + s.paused_cause;  // a take-over clears the row
    if (shown == cause) continue;
    context_.stores.lanes.show_pause(connection(), *row, s.paused_cause, s.blocked_by);
    DEJA_FAILPOINT(after_pause_shown);
    shown = cause;
  }
}

// For `deja breakers`, and what an operator says there. While none was ever needed, nothing is written.
void Supervisor::sync_breakers(bool measure) {
  const auto now = context_.breakers.all();
  const bool waiting = std::any_of(now.begin(), now.end(), [](const auto& b) { return b.state != core::in_words(core::BreakerState::closed); });
  if (now.empty() || (!measure && !waiting && now == breakers_in_rows_)) return;
  const auto asked = context_.stores.breakers.sync(connection(), now);
  DEJA_FAILPOINT(after_breaker_sync);
  for (const auto& b : asked) context_.breakers.reset({b.dependency, b.handler});
  breakers_in_rows_ = now;
}

// For `deja flood`, as above. A ruling is asked for as long as there is something to rule.
void Supervisor::sync_floods(bool measure) {
  context_.floods.forget();
  const auto now = context_.floods.all();
  const bool watching = std::all_of(now.begin(), now.end(), [](const auto& f) { return f.state == core::in_words(core::FloodState::watching); });
  if (now.empty() || (!measure && watching && now == floods_in_rows_)) return;
  const auto rulings = context_.stores.floods.sync(connection(), now);
  DEJA_FAILPOINT(after_flood_sync);
  floods_in_rows_ = now;
  for (const auto& r : rulings) {
    const bool ruled = r.poison ? context_.floods.rule_poison(r.handler, r.fingerprint) : context_.floods.rule_outage(r.handler, r.fingerprint);
    if (ruled && r.poison) context_.breakers.reset({{}, r.handler, true});
  }
}

// For the retry budget, which the fleet shares. A quiet program asks only now and then, for the gauges.
void Supervisor::report_deliveries(bool measure) {
  std::set<std::string> handlers;
  for (const auto& [topic, handler] : topics_and_handlers_) handlers.insert(handler);
  for (const auto& handler : handlers) {
    const auto delivered = context_.budgets.take_unreported(handler);
    if (delivered == 0 && !measure) continue;
    context_.budgets.seen(handler, context_.stores.budget.report(connection(), handler, delivered));
    DEJA_FAILPOINT(after_budget_report);
  }
}

void Supervisor::measure_database() {
  auto& c = connection();
  registry_.seen(c, instance_);
  DEJA_FAILPOINT(after_registry_seen);
  std::vector<std::int32_t> ids;
  std::map<std::string, double> oldest_event;
  for (const auto& lane : intake_.lanes())
    if (const auto row = lane->settled_row()) {
      ids.push_back(row->id);
      const auto s = lane->status();
      const double age = lane->unpublished() > 0 ? context_.stores.outbox.oldest_age_seconds(c, row->id, row->published_seq) : 0.0;
      DEJA_FAILPOINT(after_event_age);
      oldest_event[s.topic] = std::max(oldest_event[s.topic], age);
    } else if (const auto id = lane->id(); id != 0) {
      ids.push_back(id);
    }
  std::map<std::pair<std::string, std::string>, postgres::WaitingRecords> dead;
  for (auto& count : context_.stores.dead_letters.count(c, ids)) dead[{count.topic, count.handler}] = count;
  DEJA_FAILPOINT(after_letter_count);
  std::map<std::pair<std::string, std::string>, postgres::WaitingRecords> parked;
  for (auto& count : context_.stores.parked.count(c, ids)) parked[{count.topic, count.handler}] = count;
  DEJA_FAILPOINT(after_parked_count);
  auto aside = context_.stores.stuck.count(c, ids);
  DEJA_FAILPOINT(after_aside_count);
  const auto keys = registry_.keys(c);
  DEJA_FAILPOINT(after_key_count);
  for (const auto& [topic, handler] : topics_and_handlers_) {
    const auto& d = dead[{topic, handler}];
    context_.metrics.gauge("deja_dead_letters", {topic, handler}).set(static_cast<double>(d.records));
    context_.metrics.gauge("deja_dead_letter_oldest_age_seconds", {topic, handler}).set(d.oldest_age_seconds);
    const auto& p = parked[{topic, handler}];
    context_.metrics.gauge("deja_parked_records", {topic, handler}).set(static_cast<double>(p.records));
    context_.metrics.gauge("deja_parked_oldest_age_seconds", {topic, handler}).set(p.oldest_age_seconds);
    context_.metrics.gauge("deja_outbox_oldest_age_seconds", {topic}).set(oldest_event[topic]);
    context_.metrics.gauge("deja_outbox_quarantined_events", {topic}).set(static_cast<double>(aside[topic]));
    context_.metrics.gauge("deja_keys_estimated", {handler}).set(static_cast<double>(keys.estimated));
    context_.metrics.gauge("deja_key_generations", {handler}).set(static_cast<double>(keys.generations));
  }
}

// L11: their owner is gone and shows nothing any more, so everybody else does.
void Supervisor::measure_abandoned_lanes() {
  std::map<std::string, int> count;
  for (const auto& lane : abandoned_.find(connection(), {}, {})) ++count[lane.topic];
  for (const auto& [topic, lanes] : abandoned_shown_)
    if (!count.contains(topic)) context_.metrics.gauge("deja_lanes_abandoned", {topic}).set(0);
  for (const auto& [topic, lanes] : count) context_.metrics.gauge("deja_lanes_abandoned", {topic}).set(lanes);
  abandoned_shown_.merge(count);
}

void Supervisor::tidy_outbox() {
  auto& c = connection();
  context_.stores.outbox.rotate(c, segment_bytes);
  DEJA_FAILPOINT(after_rotation);
  for (int segment = 0; segment < postgres::OutboxStore::segments; ++segment) context_.stores.outbox.truncate(c, segment);
  DEJA_FAILPOINT(after_truncation);
}

}  // namespace deja::runtime
