#include <algorithm>

#include "config_support.h"

namespace deja::config::testing {
namespace {

using namespace std::chrono_literals;

TEST(LoadingSettings, UsesTheDefaultsWhereNothingIsSaid) {
  const auto config = load_text("");
  EXPECT_EQ(config.integer("batch.max.records"), 500);
  EXPECT_EQ(config.integer("batch.max.bytes"), 8 * 1024 * 1024);
  EXPECT_EQ(config.duration("dedup.window.ms"), 21 * 24h);
  EXPECT_EQ(config.text("start.from"), "earliest");
  EXPECT_EQ(config.ratio("retry.budget.ratio"), 0.1);
  EXPECT_EQ(config.list("dlq.headers.allow"), std::vector<std::string>{"*"});
  EXPECT_EQ(config.group_id(), "payments");
  EXPECT_EQ(config.dedup_scope(), "payments");
}

TEST(LoadingSettings, ReadsDottedKeysTablesAndQuotedNames) {
  const auto config = load_text(R"(
batch.max.records = 7
"batch.max.bytes" = 2048
retry = { "max.attempts" = 9, backoff.base.ms = 10 }
[dlq]
"headers.allow" = ["a", "b"]
[log]
level = "debug"
)");
  EXPECT_EQ(config.integer("batch.max.records"), 7);
  EXPECT_EQ(config.integer("batch.max.bytes"), 2048);
  EXPECT_EQ(config.integer("retry.max.attempts"), 9);
  EXPECT_EQ(config.duration("retry.backoff.base.ms"), 10ms);
  EXPECT_EQ(config.list("dlq.headers.allow"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(config.text("log.level"), "debug");
  EXPECT_TRUE(contains(config.place("log.level"), "deja.toml:8")) << config.place("log.level");
}

TEST(LoadingSettings, TakesAWholeNumberForARatioButNoFractionForANumber) {
  EXPECT_EQ(load_text("flood.ratio = 1").ratio("flood.ratio"), 1.0);
  expect_refused(refused_text("batch.max.records = 5.0"), 78, {"batch.max.records = 5 is wrong", "whole number"});
}

TEST(LoadingSettings, LetsSetWinOverTheFileAndTheFileOverTheEnvironment) {
  const Variables variables = {{"DEJA_POSTGRES", "postgresql://from-environment"}, {"DEJA_KAFKA", "environment:9092"}};
  const auto by_environment = load_text("", {}, variables);
  EXPECT_EQ(by_environment.text("postgres.url"), "postgresql://from-environment");
  EXPECT_EQ(entry_of(by_environment, "kafka.bootstrap.servers").origin, "environment");
  EXPECT_EQ(by_environment.place("kafka.bootstrap.servers"), "$DEJA_KAFKA");

  const auto file = R"(postgres.url = "postgresql://from-file")";
  const auto by_file = load_text(file, {}, variables);
  EXPECT_EQ(by_file.text("postgres.url"), "postgresql://from-file");
  EXPECT_EQ(entry_of(by_file, "postgres.url").origin, "file");

  const auto by_set = load_text(file, {"postgres.url=one", "postgres.url=two=2"}, variables);
  EXPECT_EQ(by_set.text("postgres.url"), "two=2");
  EXPECT_EQ(entry_of(by_set, "postgres.url").origin, "set");
}

TEST(LoadingSettings, ReadsSetByTheTypeOfTheKey) {
  const auto config = load_sets({"batch.max.records=12", "flood.ratio=0.25", "start.from=latest", "dlq.headers.allow=a, b", " group.id =17",
                                 "dlq.topic=\"quoted.topic\"", "retry.deadline.ms=+500"});
  EXPECT_EQ(config.integer("batch.max.records"), 12);
  EXPECT_EQ(config.ratio("flood.ratio"), 0.25);
  EXPECT_EQ(config.text("start.from"), "latest");
  EXPECT_EQ(config.list("dlq.headers.allow"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(config.group_id(), "17");
  EXPECT_EQ(config.text("dlq.topic"), "quoted.topic");
  EXPECT_EQ(config.duration("retry.deadline.ms"), 500ms);
  EXPECT_EQ(load_sets({R"(dlq.headers.allow=["a,b"])"}).list("dlq.headers.allow"), std::vector<std::string>{"a,b"});
  EXPECT_TRUE(load_sets({"dlq.headers.allow="}).list("dlq.headers.allow").empty());
}

TEST(LoadingSettings, CallsASetWithoutAnEqualsSignWrongUsage) {
  expect_refused(refused_text("", {"batch.max.records"}), 64, {"--set \"batch.max.records\"", "key=value"});
  expect_refused(refused_text("", {"=5", ""}), 64, {"--set \"=5\"", "--set \"\""});
  expect_refused(refused_text("", {"batch.max.records=x"}), 78, {"--set: batch.max.records = \"x\" is wrong", "from 1 to 10000"});
}

TEST(LoadingSettings, NamesKeyValueLineAndWhatWouldBeRightForEveryProblem) {
  const auto refusal = refused_text(R"(
batch.max.records = 0
batch.max.bytes = "many"
start.from = "middle"
http.adress = "off"
dlq.headers.allow = ["a", 1]
log.level = 1979-05-27
park = 5
)",
                                    {"log.format=xml"});
  expect_refused(refusal, 78,
                 {"deja.toml:2: batch.max.records = 0 is wrong; it takes a whole number (records), from 1 to 10000",
                  "deja.toml:3: batch.max.bytes = \"many\" is wrong", "deja.toml:4: start.from = \"middle\" is wrong; it takes earliest or latest",
                  "deja.toml:5: \"http.adress\" = \"off\" is no known key; did you mean http.address?",
                  "deja.toml:6: dlq.headers.allow is a list that is not all strings", "deja.toml:7: log.level is a date",
                  "deja.toml:8: \"park\" = 5 is no known key", "--set: log.format = \"xml\" is wrong; it takes text or json"});
  EXPECT_EQ(std::count(refusal.message.begin(), refusal.message.end(), '\n'), 7) << refusal.message;
}

TEST(LoadingSettings, PointsALibrdkafkaNameToItsPlace) {
  expect_refused(refused_text("bootstrap.servers = \"h:1\""), 78, {"did you mean kafka.bootstrap.servers?"});
  expect_refused(refused_text("security.protocol = \"SSL\""), 78, {"below kafka.", "below app."});
}

TEST(LoadingSettings, RefusesAKeyThatAQuotedNameSetsTwice) {
  expect_refused(refused_text("batch.max.records = 5\n\"batch.max.records\" = 6\n"), 78, {"deja.toml:2: batch.max.records is set twice"});
}

TEST(LoadingSettings, RefusesSettingsThatContradictEachOther) {
  expect_refused(refused_text("retry.backoff.base.ms = 500\nretry.backoff.max.ms = 400\n"), 78,
                 {"deja.toml:2: retry.backoff.max.ms = 400", "retry.backoff.base.ms = 500", "deja.toml:1", "must not be below"});
  expect_refused(refused_text("", {"retry.deadline.ms=100"}), 78, {"retry.deadline.ms = 100", "retry.backoff.base.ms = 200 (default)"});
  expect_refused(refused_text("", {"dedup.window.ms=60000"}), 78, {"dedup.window.ms = 60000", "retry.deadline.ms = 3600000 (default)"});
  expect_refused(refused_text("", {"park.max.records=10"}), 78, {"park.max.records = 10", "park.key.max.records = 1000 (default)"});
  EXPECT_EQ(refused_text("retry.backoff.base.ms = 500\nretry.backoff.max.ms = 500\nretry.deadline.ms = 500").exit_code, 0);
}

TEST(LoadingSettings, KnowsWhatThisVersionDoesNotSupport) {
  expect_refused(refused_text("lanes.per.partition = 65\noutbox.fencing = \"transactions\""), 78,
                 {"lanes.per.partition = 65 is wrong; it takes a whole number (lanes), from 1 to 64",
                  "outbox.fencing = \"transactions\" is wrong; it takes ids"});
}

TEST(LoadingSettings, ListsABoundedNumberOfProblems) {
  std::string text;
  for (int i = 0; i < 1'000; ++i) text += "wrong" + std::to_string(i) + " = 1\n";
  const auto refusal = refused_text(text);
  expect_refused(refusal, 78, {"950 more problems are not listed", "deja.toml:1:"});
  EXPECT_LE(std::count(refusal.message.begin(), refusal.message.end(), '\n'), 50);
}

TEST(LoadingSettings, KeepsEachProblemOnOneLineOfBoundedLength) {
  const auto refusal = refused_text("kafka.\"acks\\n_cb\" = 1\n\"app.\\u001b[0m\" = 07:00:00\nkafka.\"" + std::string(100'000, 'x') + "_cb\" = 1\n");
  EXPECT_EQ(refusal.exit_code, 78);
  EXPECT_EQ(std::count(refusal.message.begin(), refusal.message.end(), '\n'), 2) << refusal.message;
  EXPECT_FALSE(contains(refusal.message, "\x1b"));
  EXPECT_LT(refusal.message.size(), 4'000U);
}

TEST(LoadingSettings, RequiresAKeyByNameAndVariable) {
  const auto config = load_text("", {}, {}, "");
  expect_refused(refused([&] { config.require("postgres.url"); }), 78, {"postgres.url is not set", "--set postgres.url=", "DEJA_POSTGRES"});
  expect_refused(refused([&] { config.require("kafka.bootstrap.servers"); }), 78, {"DEJA_KAFKA"});
  expect_refused(refused([&] { config.require("group.id"); }), 78, {"group.id is not set"});
  EXPECT_EQ(load_text("").require("group.id"), "payments");
}

TEST(LoadingSettings, DerivesTheScopeFromTheGroup) {
  const auto config = load_text("group.id = \"g\"");
  EXPECT_EQ(config.dedup_scope(), "g");
  EXPECT_EQ(entry_of(config, "dedup.scope").value, "g");
  EXPECT_EQ(load_text("group.id = \"g\"\ndedup.scope = \"s\"").dedup_scope(), "s");
  EXPECT_EQ(load_text("", {}, {}, "").group_id(), "");
}

TEST(LoadingSettings, AskingForAKeyThatIsNotInTheTableIsADefect) {
  const auto config = load_text("");
  EXPECT_THROW(config.text("no.such.key"), std::logic_error);
  EXPECT_THROW(config.integer("start.from"), std::logic_error);
  EXPECT_THROW(config.duration("batch.max.records"), std::logic_error);
  EXPECT_THROW(config.flag("batch.max.records"), std::logic_error);
}

}  // namespace
}  // namespace deja::config::testing
