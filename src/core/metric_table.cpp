#include "core/metric_table.h"

namespace deja::core {
namespace {

constexpr auto counter = MetricKind::counter;
constexpr auto gauge = MetricKind::gauge;
constexpr auto histogram = MetricKind::histogram;

constexpr MetricRow rows[] = {
    // Records
    {"deja_records_total", counter, "topic,handler,disposition", "",
     "Records that got their disposition, counted once each when their batch was committed."},
    {"deja_duplicates_total", counter, "topic,handler,cause", "",
     "Duplicates by cause: producer (known key at another offset: ask the producing team), replay (an operator's), "
     "redelivery (the same offset "
     "again, dropped by the lane and not counted as a record)."},
    {"deja_duplicate_age_seconds", histogram, "topic,handler,cause", "age",
     "How long after the first record a duplicate came. Ages near dedup.window.ms: later ones may pass as new, make "
     "the window longer."},
    {"deja_attempts_total", counter, "topic,handler,result", "",
     "Handler calls by result: ok, failed, rejected, unavailable. A rising share of failed or rejected: look at the "
     "dead letters' errors."},
    {"deja_redeliveries_total", counter, "handler", "",
     "Handler calls for records that were parked, by the handler. Compare with deja_attempts_total: what redelivery adds to the load."},
    {"deja_retry_amplification_ratio", gauge, "handler", "",
     "Handler calls for each first delivery in the last ten seconds, in the whole fleet: 1 when nothing is redelivered. Every instance exports the same number: max(), not sum()."},
    {"deja_retry_budget_tokens", gauge, "handler", "",
     "Redeliveries that the fleet allows itself now (retry.budget.ratio); 0: parked records wait. Every instance exports the same number: max(), not sum()."},
    {"deja_handler_duration_seconds", histogram, "topic,handler", "latency",
     "Time of one handler call, SQL that it waits for included. Compare with handler.timeout.ms."},
    {"deja_claim_duration_seconds", histogram, "topic,handler", "latency",
     "Time to claim the keys of a batch. Slow claims: look at the database's I/O and at deja_key_generations."},
    {"deja_commit_duration_seconds", histogram, "topic,handler", "latency",
     "Time of the COMMIT of a batch. Slow commits: look at the database's WAL device and synchronous standbys."},
    {"deja_end_to_end_latency_seconds", histogram, "topic,handler", "latency",
     "From the record's Kafka timestamp to the commit of its effect. High with low handler time: records wait, see the lag."},
    {"deja_batch_records", histogram, "topic,handler", "count",
     "Records in a committed batch. Batches grow by themselves under load; always at batch.max.records: the lane is "
     "the bottleneck."},
    {"deja_batch_repeats_total", counter, "cause", "",
     "Batches rolled back and run again, by cause. Deadlocks and serialization failures: handlers touch shared rows "
     "in different orders."},
    // Parked records
    {"deja_parked_records", gauge, "topic,handler", "",
     "Records that failed and wait for another attempt, and those of their ordering keys behind them. `deja parked list` has each. sum() over instances."},
    {"deja_parked_oldest_age_seconds", gauge, "topic,handler", "",
     "Age of the parked record that was seen first; 0 when there is none. Beyond retry.deadline.ms: an outage, or many behind one key. max() over instances."},
    // Dead letters
    {"deja_dead_letters", gauge, "topic,handler", "",
     "Dead letters that wait for an operator. `deja dlq list` shows them with their errors. sum() over instances."},
    {"deja_dead_letter_oldest_age_seconds", gauge, "topic,handler", "",
     "Age of the oldest dead letter that waits for an operator; 0 when none waits. max() over instances."},
    {"deja_dead_lettered_total", counter, "topic,handler,cause", "",
     "Records that became dead letters, by cause. Many of one cause at once point to a release or to a producer."},
    // Outbox
    {"deja_outbox_unpublished_events", gauge, "topic", "",
     "Committed events that are not yet in Kafka, by the source topic of their lane. Should return to 0; if not, "
     "`deja lanes` shows which lane and the log why."},
    {"deja_outbox_oldest_age_seconds", gauge, "topic", "",
     "Age of the oldest committed event that is not yet in Kafka, by the source topic of its lane; 0 when there is none."},
    {"deja_outbox_published_total", counter, "topic", "", "Events that Kafka acknowledged, by the source topic of their lane."},
    {"deja_outbox_publish_errors_total", counter, "topic", "",
     "Events that Kafka did not take; they stay in the outbox and are sent again. The log has the cause."},
    {"deja_outbox_quarantined_events", gauge, "topic", "",
     "Events that Kafka refuses, and those behind them, set aside so that others pass, by the source topic of their lane. 0 is right. "
     "`deja outbox list` shows them with Kafka's answers. sum() over instances."},
    {"deja_outbox_publish_duration_seconds", histogram, "topic", "latency",
     "From handing an event to the producer until Kafka acknowledged it, by the source topic of its lane."},
    // Keys
    {"deja_keys_estimated", gauge, "handler", "",
     "Estimated number of keys that are remembered. Every instance exports the same number: max(), not sum()."},
    {"deja_key_generations", gauge, "handler", "",
     "Tables that hold the remembered keys. Growing beyond the window: old ones are not dropped. max(), not sum()."},
    // Lanes and dependencies
    {"deja_dependency_up", gauge, "dependency", "",
     "1 when the instance reaches the dependency (postgres, kafka, or what a handler named as unavailable), else 0. "
     "The cause is in /status."},
    {"deja_breaker_state", gauge, "dependency", "",
     "0 closed, 1 half-open (one record probes), 2 open (what needs the dependency waits), the worst of the instance's handlers. `deja breakers` has the cause."},
    {"deja_flood_guard_state", gauge, "handler", "",
     "0 watching, 1 outage (most records failed with one cause: they wait, nothing is spent), 2 poison (an operator ruled that they become dead letters). `deja flood` has the cause."},
    {"deja_lanes_owned", gauge, "topic", "",
     "Lanes that the instance owns. The sum over the fleet should be partitions times lanes.per.partition."},
    {"deja_lanes_paused", gauge, "topic,cause", "",
     "Lanes that the instance owns and that do not move, by cause. `deja lanes` shows what blocks each."},
    {"deja_lanes_abandoned", gauge, "topic", "",
     "Lanes with unpublished events or parked records whose topic no running program of the group handles. `deja doctor` names them; let a program handle the "
     "topic again. Every instance exports the same number: max(), not sum()."},
    {"deja_consumer_lag_records", gauge, "topic,partition", "",
     "Records in the log after the last committed one. Growing without end: add instances, lanes or faster handlers."},
    {"deja_lane_stalled_seconds", gauge, "topic,partition", "",
     "Time since the last progress while there is lag; 0 otherwise. High: `deja lanes` says what blocks the lane."},
    {"deja_fenced_total", counter, "topic", "",
     "Batches refused because another instance had taken the lane. Some at each rebalance are harmless; a steady rate "
     "means instances that hang."},
    {"deja_stale_deliveries_total", counter, "topic", "",
     "Records dropped because they came from an assignment that had ended. Harmless; many mean frequent rebalances."},
    {"deja_lane_rewinds_total", counter, "topic", "",
     "Lanes that read again from an earlier offset because the database's progress was behind, as after a restore or "
     "a lost fail-over tail."},
    {"deja_rebalances_total", counter, "topic", "",
     "Assignments and revocations seen. Frequent: instances restart, or polls are late (kafka.consumer.session.timeout.ms)."},
    {"deja_offset_commit_errors_total", counter, "topic", "",
     "Offsets that Kafka did not accept. Only lag tools read them, processing goes on; a steady rate hides lag from those tools."},
    {"deja_commits_in_doubt_total", counter, "resolution", "",
     "Commits whose reply was lost, by how reading the lane again settled them. Nothing to do; many mean an unstable "
     "network to Postgres."},
    {"deja_build_info", gauge, "version,schema", "",
     "Always 1; the labels are the versions of the library and of the schema. Join it to see rollouts."},
};

}  // namespace

std::span<const MetricRow> metric_table() { return rows; }

}  // namespace deja::core
