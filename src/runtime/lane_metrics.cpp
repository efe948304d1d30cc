#include "runtime/lane_metrics.h"

#include <chrono>

namespace deja::runtime {

using core::Disposition;

LaneMetrics::LaneMetrics(core::Metrics& m, const std::string& topic, const std::string& handler)
    : metrics_(m), topic_(topic), handler_(handler),
      redeliveries_(m.counter("deja_redeliveries_total", {handler})),
      discarded_(m.counter("deja_records_total", {topic, handler, "discarded"})),
      processed_(m.counter("deja_records_total", {topic, handler, "processed"})),
      duplicate_(m.counter("deja_records_total", {topic, handler, "duplicate"})),
      conflict_(m.counter("deja_records_total", {topic, handler, "conflict"})),
      dead_(m.counter("deja_records_total", {topic, handler, "dead"})),
      producer_(m.counter("deja_duplicates_total", {topic, handler, "producer"})),
      replay_(m.counter("deja_duplicates_total", {topic, handler, "replay"})),
      redelivered_(m.counter("deja_duplicates_total", {topic, handler, "redelivery"})),
      ok_(m.counter("deja_attempts_total", {topic, handler, "ok"})), failed_(m.counter("deja_attempts_total", {topic, handler, "failed"})),
      rejected_(m.counter("deja_attempts_total", {topic, handler, "rejected"})),
      unavailable_(m.counter("deja_attempts_total", {topic, handler, "unavailable"})),
      stale_(m.counter("deja_stale_deliveries_total", {topic})), fenced_(m.counter("deja_fenced_total", {topic})),
      duplicate_age_(m.histogram("deja_duplicate_age_seconds", {topic, handler, "producer"})),
      replay_age_(m.histogram("deja_duplicate_age_seconds", {topic, handler, "replay"})),
      handler_seconds_(m.histogram("deja_handler_duration_seconds", {topic, handler})),
      commit_seconds_(m.histogram("deja_commit_duration_seconds", {topic, handler})),
      claim_seconds_(m.histogram("deja_claim_duration_seconds", {topic, handler})),
      latency_(m.histogram("deja_end_to_end_latency_seconds", {topic, handler})),
      batch_records_(m.histogram("deja_batch_records", {topic, handler})) {
  for (const auto cause : {core::cause::rejected, core::cause::exhausted, core::cause::undecodable, core::cause::key_missing, core::cause::conflict,
                           core::cause::oversized, core::cause::overflow})
    m.counter("deja_dead_lettered_total", {topic, handler, std::string(cause)});
}

void LaneMetrics::committed(const BatchResult& result, const std::vector<PreparedRecord>& records) {
  double counts[static_cast<std::size_t>(Disposition::parked) + 1] = {};
  double replays = 0;
  for (const auto& o : result.outcomes) {
    if (o.gone) continue;
    if (o.settled_before()) {
      redelivered();
      continue;
    }
    ++counts[static_cast<std::size_t>(o.disposition)];
    const bool replay = o.disposition == Disposition::duplicate && o.cause == core::cause::replay;
    if (replay) ++replays;
    if (o.disposition == Disposition::duplicate) (replay ? replay_age_ : duplicate_age_).observe(o.first.age_seconds);
    if (o.kept)
      metrics_.counter("deja_dead_lettered_total", {topic_, handler_, o.cause}).add();
  }
  processed_.add(counts[static_cast<std::size_t>(Disposition::processed)]);
  duplicate_.add(counts[static_cast<std::size_t>(Disposition::duplicate)]);
  producer_.add(counts[static_cast<std::size_t>(Disposition::duplicate)] - replays);
  replay_.add(replays);
  conflict_.add(counts[static_cast<std::size_t>(Disposition::conflict)]);
  discarded_.add(counts[static_cast<std::size_t>(Disposition::discarded)]);
  redeliveries_.add(static_cast<double>(result.redeliveries));
  dead_.add(counts[static_cast<std::size_t>(Disposition::dead)]);
  ok_.add(counts[static_cast<std::size_t>(Disposition::processed)]);
  failed_.add(static_cast<double>(result.handler_failures));
  rejected_.add(static_cast<double>(result.handler_rejections));
  for (const double s : result.call_seconds) handler_seconds_.observe(s);
  commit_seconds_.observe(result.commit_seconds);
  claim_seconds_.observe(result.claim_seconds);
  batch_records_.observe(static_cast<double>(result.outcomes.size()));
  const auto now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  for (std::size_t i = 0; i < records.size(); ++i)
    if (const auto& r = records[i]; result.outcomes[i].disposition != Disposition::parked && r.source->view.timestamp_ms > 0) latency_.observe(std::max(0.0, now - static_cast<double>(r.source->view.timestamp_ms) / 1000.0));
}

}  // namespace deja::runtime
