#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "cli/context.h"
#include "cli/doctor.h"

namespace deja::cli {
namespace {

using postgres::LaneRow;

void check_topic(kafka::Admin& kafka, const std::string& check, const std::string& topic, const std::string& what, bool needed, Findings& findings) {
  const auto state = kafka.topic(topic);
  if (state.exists) {
    findings.ok(check, topic + " has " + std::to_string(state.partitions) + " partitions");
    return;
  }
  const auto detail = what + " " + topic + ": " + state.error;
  const std::string remedy = state.not_allowed ? "grant DESCRIBE and what follows from it on the topic" : "create the topic, or correct its name";
  if (needed) {
    findings.fail(check, detail, remedy);
  } else {
    findings.warn(check, detail, remedy);
  }
}

std::set<std::string> topics_of(const DatabaseFacts& facts) {
  std::set<std::string> topics;
  for (const auto& handler : facts.handlers) topics.insert(handler.topics.begin(), handler.topics.end());
  return topics;
}

std::int64_t number_of(const std::map<std::string, std::string>& settings, const std::string& name) {
  std::int64_t value = -1;
  if (const auto found = settings.find(name); found != settings.end()) {
    std::from_chars(found->second.data(), found->second.data() + found->second.size(), value);
  }
  return value;
}

std::string days(std::int64_t milliseconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f days", static_cast<double>(milliseconds) / 86'400'000.0);
  return text;
}

// A key must be remembered for as long as Kafka can deliver its record again.
void check_window(kafka::Admin& kafka, const config::Config& config, const std::string& topic, Findings& findings) {
  const auto settings = kafka.topic_settings(topic);
  if (settings.empty()) return;  // not told: not judged
  const auto retention = number_of(settings, "retention.ms");
  const auto segment = number_of(settings, "segment.ms");
  const auto window = config.integer("dedup.window.ms");
  const auto margin = std::max<std::int64_t>(1000, window / 100);
  const bool compacted = settings.at("cleanup.policy").find("compact") != std::string::npos;
  const bool unlimited = retention < 0 || compacted;
  const auto kept = retention + std::max<std::int64_t>(0, segment) + config.integer("retry.deadline.ms") + margin;
  const auto detail = topic + (unlimited ? " keeps records without a limit" : " may keep a record for " + days(kept)) + ", dedup.window.ms is " + days(window);
  const auto check = "dedup.window";
  if (!unlimited && window >= kept) {
    findings.ok(check, detail);
  } else if (const auto& reason = config.text("dedup.window.override"); !reason.empty()) {
    findings.warn(check, detail + "; overridden: " + reason, "");
  } else {
    findings.fail(check, detail, unlimited ? "state in dedup.window.override why that is safe" : "raise dedup.window.ms, lower the topic's retention.ms, or state the reason in dedup.window.override");
  }
}

struct Progress {
  std::int64_t lowest = 0, highest = 0;
};

std::string operators_command(const std::string& name, const std::string& group, const kafka::Partition& partition, const std::string& more) {
  return "deja lanes " + name + " --group " + group + " --topic " + partition.topic + " --partition " + std::to_string(partition.number) + more + " --reason \"why\"";
}

void check_offsets_of(const config::Config& config, const std::string& group, const std::map<kafka::Partition, Progress>& progress, Findings& findings) {
  kafka::Partitions partitions;
  for (const auto& [partition, unused] : progress) partitions.push_back(partition);
  const auto kafka = open_kafka(config, group);
  const auto committed = kafka->group_offsets(partitions);
  const auto ranges = kafka->ranges(partitions);
  bool clean = true;
  for (const auto& [partition, lanes] : progress) {
    const auto name = "group " + group + ", " + partition.topic + "/" + std::to_string(partition.number) + ": ";
    if (const auto found = ranges.find(partition); found != ranges.end() && (lanes.lowest < found->second.start || lanes.highest > found->second.end)) {
      clean = false;
      findings.fail("log", name + "the lane is at " + std::to_string(lanes.lowest) + ", the log has " + std::to_string(found->second.start) + " to " + std::to_string(found->second.end),
                    "records were lost by retention, or the topic is another one (docs/runbooks/lost-or-recreated-log.md); to go on without them: " +
                        operators_command("accept-loss", group, partition, ""));
    }
    const auto found = committed.find(partition);
    if (found == committed.end()) continue;
    const auto offset = found->second.offset;
    const bool ours = found->second.metadata.starts_with("deja/");
    const auto detail = name + "Kafka's committed offset is " + std::to_string(offset) + ", the lane is at " + std::to_string(lanes.lowest);
    if (ours && offset > lanes.highest) {
      clean = false;
      findings.warn("offsets", detail + ": the database went back behind what was committed to Kafka", "expected after a restore; deja resumes from the database");
    } else if (!ours && offset > lanes.lowest) {
      clean = false;
      findings.fail("offsets", detail + ", and it was not deja that committed it: no program of the group starts, for the effects of what lies between may have happened elsewhere",
                    "stop the other consumer; then, to leave to it what it handled: " + operators_command("reset", group, partition, " --to-offset " + std::to_string(offset)) +
                        "; to handle that here, too: " + operators_command("reset", group, partition, " --to-offset " + std::to_string(lanes.lowest)));
    } else if (!ours && offset != lanes.lowest) {
      clean = false;
      findings.warn("offsets", detail + ", and it was not deja that committed it",
                    "resetting offsets with Kafka's tools has no effect, the lane's row decides; another consumer must not work in this group");
    }
  }
  if (clean) findings.ok("offsets", "group " + group + ": Kafka's offsets and the lanes agree on " + std::to_string(progress.size()) + " partitions");
}

void check_offsets(const config::Config& config, const std::vector<LaneRow>& lanes, Findings& findings) {
  std::map<std::string, std::map<kafka::Partition, Progress>> groups;
  for (const auto& lane : lanes) {
    auto& partitions = groups[lane.group];
    const kafka::Partition partition{lane.topic, static_cast<std::int32_t>(lane.partition)};
    const auto [at, fresh] = partitions.try_emplace(partition, Progress{lane.next_offset, lane.next_offset});
    if (fresh) continue;
    at->second.lowest = std::min(at->second.lowest, lane.next_offset);
    at->second.highest = std::max(at->second.highest, lane.next_offset);
  }
  for (const auto& [group, partitions] : groups) check_offsets_of(config, group, partitions, findings);
}

}  // namespace

void check_kafka(const config::Config& config, const std::string& group, const DatabaseFacts& facts, Findings& findings) {
  try {
    const auto kafka = open_kafka(config, group);
    kafka->check_reachable();
    findings.ok("kafka", "reachable");
    for (const auto& topic : topics_of(facts)) {
      check_topic(*kafka, "topics", topic, "the topic of a handler", true, findings);
      check_window(*kafka, config, topic, findings);
    }
    if (const auto& topic = config.text("dlq.topic"); !topic.empty()) {
      check_topic(*kafka, "dlq.topic", topic, "dead letters stay in the database, for there is no topic", false, findings);
    }
    for (const auto& topic : facts.event_topics) check_topic(*kafka, "event_topics", topic, "events wait for the topic", true, findings);
    check_offsets(config, facts.lanes, findings);
  } catch (const kafka::Unreachable& error) {
    findings.fail("kafka", error.what(), "start the broker, or correct kafka.bootstrap.servers (or $DEJA_KAFKA)");
  } catch (const Stop& stop) {
    findings.fail("kafka", stop.what(), "set kafka.bootstrap.servers (or $DEJA_KAFKA) and correct what is named");
  }
}

}  // namespace deja::cli
