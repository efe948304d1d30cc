#include "ops/status_json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace deja {
namespace {

using nlohmann::json;

core::Status running() {
  core::Status status;
  status.group = "billing";
  status.instance = "host-1";
  status.state = "running";
  return status;
}

TEST(StatusJson, EveryFieldStandsUnderItsOwnName) {
  auto status = running();
  status.lanes = {{.topic = "payments",
                   .partition = 2,
                   .lane = 1,
                   .state = "owned",
                   .owner_epoch = 7,
                   .next_offset = 100,
                   .log_end_offset = 120,
                   .queued_records = 5,
                   .parked_records = 2,
                   .next_event_seq = 33,
                   .published_seq = 31,
                   .paused_cause = "postgres", .blocked_by = "postgres at 7",
                   .paused_seconds = 1.5}};
  status.dependencies = {{.name = "postgres", .up = false, .cause = "connection refused"}};
  status.breakers = {{.dependency = "ledger-api", .handler = "settle", .state = "half_open", .since_ms = 1'700'000'000'123, .cause = "ledger-api is unavailable"}};
  status.floods = {{.handler = "settle", .state = "outage", .since_ms = 1'700'000'000'123, .cause = "boom", .fingerprint = "0348e98f"}};
  status.budgets = {{.handler = "settle", .tokens = 80, .amplification = 1.25}};
  status.last_duplicates = {{.topic = "payments",
                             .partition = 2,
                             .offset = 99,
                             .cause = "producer",
                             .first_topic = "payments",
                             .first_partition = 2,
                             .first_offset = 42,
                             .age_seconds = 12.25}};
  EXPECT_EQ(json::parse(ops::status_json(status)), json::parse(R"({
    "group": "billing", "instance": "host-1", "state": "running", "live": true, "not_ready": [],
    "lanes": [{"topic": "payments", "partition": 2, "lane": 1, "state": "owned", "owner_epoch": 7, "next_offset": 100,
               "log_end_offset": 120, "queued_records": 5, "parked_records": 2, "waits_for_budget": false, "next_event_seq": 33, "published_seq": 31,
               "paused_cause": "postgres", "blocked_by": "postgres at 7", "paused_seconds": 1.5}],
    "dependencies": [{"name": "postgres", "up": false, "cause": "connection refused"}],
    "breakers": [{"dependency": "ledger-api", "handler": "settle", "state": "half_open", "since": "2023-11-14T22:13:20.123Z", "cause": "ledger-api is unavailable"}],
    "floods": [{"handler": "settle", "state": "outage", "since": "2023-11-14T22:13:20.123Z", "cause": "boom", "fingerprint": "0348e98f"}],
    "budget": [{"handler": "settle", "tokens": 80, "amplification": 1.25}],
    "last_duplicates": [{"topic": "payments", "partition": 2, "offset": 99, "cause": "producer", "first_topic": "payments",
                         "first_partition": 2, "first_offset": 42, "age_seconds": 12.25}]})"));
}

TEST(StatusJson, WhatIsUnknownOrDoesNotApplyIsNull) {
  auto status = running();
  status.lanes.resize(1);
  status.dependencies = {{.name = "kafka", .up = true, .cause = ""}};
  const auto parsed = json::parse(ops::status_json(status));
  EXPECT_TRUE(parsed["lanes"][0]["next_offset"].is_null());
  EXPECT_TRUE(parsed["lanes"][0]["log_end_offset"].is_null());
  EXPECT_TRUE(parsed["lanes"][0]["paused_cause"].is_null());
  EXPECT_TRUE(parsed["dependencies"][0]["cause"].is_null());
}

TEST(StatusJson, EmptyListsStayLists) {
  const auto parsed = json::parse(ops::status_json(running()));
  for (const auto* name : {"not_ready", "lanes", "dependencies", "last_duplicates"}) EXPECT_EQ(parsed[name], json::array()) << name;
}

TEST(StatusJson, BytesThatAreNoUtf8AreReplaced) {
  auto status = running();
  status.not_ready = {"server said \xFF\"\n"};
  EXPECT_EQ(json::parse(ops::status_json(status))["not_ready"][0], "server said \xEF\xBF\xBD\"\n");
  EXPECT_EQ(json::parse(ops::readiness_json(status))["causes"][0], "server said \xEF\xBF\xBD\"\n");
}

TEST(StatusJson, HealthSaysWhetherAndWhyNot) {
  auto status = running();
  EXPECT_EQ(json::parse(ops::readiness_json(status)), json::parse(R"({"ready": true, "causes": []})"));
  EXPECT_EQ(json::parse(ops::liveness_json(status)), json::parse(R"({"live": true})"));
  status.live = false;
  status.not_ready = {"kafka is away"};
  EXPECT_EQ(json::parse(ops::readiness_json(status)), json::parse(R"({"ready": false, "causes": ["kafka is away"]})"));
  EXPECT_EQ(json::parse(ops::liveness_json(status)), json::parse(R"({"live": false})"));
}

}  // namespace
}  // namespace deja
