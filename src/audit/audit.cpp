#include "audit/audit.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <thread>

#include <deja/errors.h>

#include "audit/event_audit.h"
#include "audit/progress.h"
#include "audit/record_audit.h"
#include "kafka/admin.h"
#include "kafka/log_reader.h"
#include "core/lane_map.h"
#include "postgres/explain.h"
#include "postgres/migrations.h"

namespace deja::audit {

namespace {
/// The audit of one group.
class GroupAudit {
 public:
  GroupAudit(const config::Config& config, const Options& options, const MakeKeySources& keys, postgres::AuditStore& store, std::string group)
      : options_(options), keys_(keys), store_(store), group_(std::move(group)), settings_{config.require("postgres.url"), config.text("postgres.schema"),
        config.text("dedup.conflict") == "report", options.named, std::clamp(std::thread::hardware_concurrency(), 2U, 4U)},
        kafka_(config.kafka(config::Role::common), group_, std::chrono::seconds(10)), reader_(config.kafka(config::Role::consumer), group_) {}

  /// Returns the end of what is consumed: the furthest lane's.
  std::int64_t run(const std::vector<std::string>& topics, Report& report, Progress& progress) {
    // The order matters, see EventAudit: progress, the ends of the event topics, progress again.
    const auto before = store_.lanes(group_);
    const auto events = event_log();
    const auto after = store_.lanes(group_);
    std::vector<std::unique_ptr<RecordAudit>> audits;
    std::map<std::string, RecordAudit*> by_topic;
    for (const auto& topic : topics) {
      audits.push_back(prepare(topic, before));
      by_topic[topic] = audits.back().get();
    }
    for (const auto& audit : audits) {
      progress.begin("records of " + audit->topic(), total(audit->slices()));
      report.records_read += audit->run(reader_, [&](std::int64_t done) { progress.at(done); });
    }
    PartitionReport elsewhere;
    elsewhere.group = group_;
    progress.begin("events of " + group_, total(events.slices));
    EventAudit event_audit(group_, before, after, by_topic, elsewhere, options_.named);
    report.events_read += event_audit.run(reader_, events, store_, [&](std::int64_t done) { progress.at(done); });
    progress.clear();
    for (const auto& audit : audits)
      for (const auto& [number, partition] : audit->partitions()) report.partitions.push_back(std::move(partition->report));
    if (!elsewhere.findings.empty()) {
      elsewhere.topic = elsewhere.findings.front().topic;
      report.partitions.push_back(std::move(elsewhere));
    }
    return furthest_;
  }

 private:
  static std::int64_t total(const std::vector<kafka::LogSlice>& slices) {
    std::int64_t sum = 0;
    for (const auto& slice : slices) sum += std::max<std::int64_t>(0, slice.until - slice.from);
    return sum;
  }

  EventLog event_log() {
    EventLog log;
    for (const auto& topic : store_.event_topics(group_)) {
      const auto state = kafka_.topic(topic);
      if (!state.exists) {
        log.any_may_be_gone = true;
        continue;
      }
      kafka::Partitions partitions;
      for (std::int32_t p = 0; p < state.partitions; ++p) partitions.push_back({topic, p});
      for (const auto& [partition, range] : kafka_.ranges(partitions)) log.slices.push_back({partition, range.start, range.end});
      const auto settings = kafka_.topic_settings(topic);
      if (const auto policy = settings.find("cleanup.policy"); policy != settings.end() && policy->second.find("compact") != std::string::npos) log.any_may_be_gone = true;
    }
    return log;
  }

  std::unique_ptr<RecordAudit> prepare(const std::string& topic, const std::vector<postgres::AuditLane>& lanes) {
    const auto recipes = store_.recipes(group_, topic);
    KeySources sources;
    if (recipes) sources = keys_(*recipes);
    else sources.now.remedy = "no handler has registered how it makes keys for this topic (table recipes): run PROGRAM --audit after the program has run";
    auto audit = std::make_unique<RecordAudit>(settings_, group_, topic, std::move(sources), store_);
    std::map<std::int32_t, std::vector<postgres::AuditLane>> by_partition;
    for (const auto& lane : lanes)
      if (lane.topic == topic) by_partition[lane.partition].push_back(lane);
    kafka::Partitions partitions;
    for (const auto& [number, of] : by_partition) partitions.push_back({topic, number});
    const auto logs = kafka_.ranges(partitions);
    for (auto& [number, of] : by_partition) add(*audit, topic, number, std::move(of), logs);
    return audit;
  }

  void add(RecordAudit& audit, const std::string& topic, std::int32_t number, std::vector<postgres::AuditLane> lanes, const std::map<kafka::Partition, kafka::LogRange>& logs) {
    const auto live = lanes.begin() + lanes.front().lane_count;  // those behind are of an older map
    const auto [first, last] = std::minmax_element(lanes.begin(), live, [](const auto& a, const auto& b) { return a.next_offset < b.next_offset; });
    // between the slowest lane and the furthest, only who knows the ordering knows which records are consumed
    const bool by_program = lanes.front().lane_count > 1 && lanes.front().ordering != core::LaneMap{}.ordering;
    const auto consumed = by_program && !audit.by_program() ? first->next_offset : last->next_offset;
    furthest_ = std::max(furthest_, consumed);
    auto from = std::min_element(lanes.begin(), lanes.end(), [](const auto& a, const auto& b) { return a.history.start() < b.history.start(); })->history.start();
    const auto log = logs.find({topic, number});
    std::string trouble;
    if (log == logs.end()) trouble = "Kafka has no such partition";
    else if (log->second.end < consumed)
      trouble = "the log ends at offset " + std::to_string(log->second.end) + ", and the group has consumed up to " + std::to_string(consumed) + ": it lost its tail, or is another log";
    if (log != logs.end()) from = std::max(from, log->second.start);
    const auto until = log == logs.end() ? from : std::min({options_.to.value_or(consumed), consumed, log->second.end});
    audit.add(number, std::max(from, options_.from.value_or(from)), until, std::move(lanes));
    if (!trouble.empty())
      audit.partitions().at(number)->report.add({"unchecked", "record", topic, number, std::nullopt, std::nullopt, std::nullopt, trouble}, options_.named);
  }

  const Options& options_;
  const MakeKeySources& keys_;
  postgres::AuditStore& store_;
  const std::string group_;
  const RecordAuditSettings settings_;
  kafka::Admin kafka_;
  kafka::LogReader reader_;
  std::int64_t furthest_ = 0;
};

using TopicsOfGroups = std::map<std::string, std::vector<std::string>>;

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

void warn(const std::string& text) { std::fprintf(stderr, "audit: warning: %s\n", text.c_str()); }

void check_range(const Options& options) {
  if (options.from && options.to && *options.from >= *options.to)
    throw Stop(exit_code::usage, "--from " + std::to_string(*options.from) + " --to " + std::to_string(*options.to) + " is no range: --to is the first offset that is not checked, so it is above --from");
}

// An audit of nothing proves nothing.
Stop no_lanes(postgres::AuditStore& store, const Options& options, const std::string& schema) {
  constexpr std::size_t shown = 8;
  std::vector<std::string> there;
  for (const auto& [group, topic] : store.topics({}, {}))
    if (there.size() < shown) there.push_back(group + " (" + topic + ")");
  std::string whose = options.topics.empty() ? "" : " for topic " + joined(options.topics);
  if (!options.group.empty()) whose += (whose.empty() ? " for group " : " in group ") + options.group;
  return {exit_code::wrong_data, "there are no lanes" + whose + " in the schema \"" + schema + "\", so nothing was checked: " +
                                     (there.empty() ? "no program has consumed anything with it; correct postgres.url or postgres.schema, or start the program"
                                                    : "correct the group (--group, group.id) or the topic; there are " + joined(there))};
}

TopicsOfGroups chosen(postgres::AuditStore& store, const Options& options, const std::string& schema) {
  TopicsOfGroups by_group;
  auto without = options.topics;
  for (auto& [group, topic] : store.topics(options.group, {})) {
    if (!options.topics.empty() && std::find(options.topics.begin(), options.topics.end(), topic) == options.topics.end()) continue;
    std::erase(without, topic);
    by_group[group].push_back(topic);
  }
  if (by_group.empty()) throw no_lanes(store, options, schema);
  if (!without.empty()) warn("there are no lanes for topic " + joined(without) + ": nothing of it was checked");
  return by_group;
}

void tell_empty_range(const Options& options, const Report& report, std::int64_t furthest) {
  if (!options.from && !options.to) return;
  if (std::any_of(report.partitions.begin(), report.partitions.end(), [](const auto& p) { return p.checked > 0; })) return;
  const auto range = (options.from ? " from " + std::to_string(*options.from) : "") + (options.to ? " to " + std::to_string(*options.to) : "");
  warn("no record was checked" + range + (options.from.value_or(0) >= furthest ? ": what is consumed ends before offset " + std::to_string(furthest) : ": the log holds none that is consumed"));
}
}  // namespace

std::vector<std::string> secrets(const config::Config& config) {
  std::vector<std::string> all{config.text("key.secret")};
  if (const auto& previous = config.text("keys.previous.secret"); !previous.empty()) all.push_back(previous == "none" ? "" : previous);
  return all;
}

Report run(const config::Config& config, const Options& options, const MakeKeySources& keys) {
  const auto begun = std::chrono::steady_clock::now();
  check_range(options);
  config.require("kafka.bootstrap.servers");
  const auto& schema = config.text("postgres.schema");
  const auto connection = postgres::open_or_stop({.url = config.require("postgres.url"), .what = "audit", .read_only = true});
  postgres::check_schema(*connection, schema);
  postgres::AuditStore store(*connection, schema);
  const auto by_group = chosen(store, options, schema);
  Report report;
  std::int64_t furthest = 0;
  Progress progress(true);
  try {
    for (const auto& [group, topics] : by_group) furthest = std::max(furthest, GroupAudit(config, options, keys, store, group).run(topics, report, progress));
  } catch (const kafka::Unreachable& error) {
    throw Stop(exit_code::unavailable, std::string("Kafka does not answer (kafka.bootstrap.servers): ") + error.what());
  }
  tell_empty_range(options, report, furthest);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  return report;
}

int run_and_print(const config::Config& config, const Options& options, const MakeKeySources& keys, bool json) {
  const auto report = run(config, options, keys);
  const auto text = json ? json_lines(report) : table(report);
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    if (errno != EPIPE) throw Stop(exit_code::unavailable, std::string("stdout cannot be written: ") + std::strerror(errno));
  }
  std::fprintf(stderr, "%s\n", summary(report).c_str());
  return report.clean() ? exit_code::clean : exit_code::finding;
}

}  // namespace deja::audit
