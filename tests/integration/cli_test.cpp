#include "cli_support.h"

#include <csignal>
#include <future>

#include <sys/stat.h>

#include "kafka/mock_broker.h"

// The `deja` command as a whole.

namespace deja {
namespace {

TEST_F(Cli, WrongUsageEndsWith64AndNamesTheCauseLast) {
  EXPECT_EQ(deja("").code, 64);
  const auto unknown = deja("nix");
  EXPECT_EQ(unknown.code, 64);
  EXPECT_THAT(unknown.last_error(), HasSubstr("nix"));
  EXPECT_EQ(deja("lanes --nix").code, 64);
  EXPECT_EQ(deja("lanes --set nonsense").code, 64);
  const auto filter = deja("lanes --filter 'lag>'");
  EXPECT_EQ(filter.code, 64);
  EXPECT_THAT(filter.last_error(), HasSubstr("position 5"));
  EXPECT_EQ(deja("--help").code, 0);
  EXPECT_EQ(deja("--version").code, 0);
}

TEST_F(Cli, MigratesOnceAndSaysSo) {
  const auto dry = deja("migrate --dry-run");
  EXPECT_EQ(dry.code, 0);
  EXPECT_THAT(dry.out, HasSubstr("create schema"));
  const auto first = deja("migrate --output json").rows();
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(first[0]["version_before"], 0);
  EXPECT_EQ(first[0]["version_after"], postgres::schema_version());
  EXPECT_EQ(deja("migrate --output json").rows().at(0)["applied"].size(), 0u);
}

TEST_F(Cli, NamesMigrateWhereTheSchemaIsMissing) {
  for (const auto* command : {"lanes", "handlers", "outbox", "dlq list", "dlq show 1"}) {
    const auto result = deja(command);
    EXPECT_EQ(result.code, 78) << command;
    EXPECT_THAT(result.last_error(), HasSubstr("deja migrate"));
  }
}

TEST_F(Cli, TellsAServerThatIsAwayFromALoginThatIsRefused) {
  EXPECT_EQ(deja("lanes --set postgres.url=postgresql://127.0.0.1:1/x").code, 69);
  const auto refused = deja("lanes --set 'postgres.url=" + std::string("postgresql://nobody_here@") + url_.substr(url_.find('@') + 1) + "'");
  EXPECT_EQ(refused.code, 77) << refused.err;
  EXPECT_EQ(deja("lanes --set postgres.url=postgresql://127.0.0.1:x/y").code, 78);
  EXPECT_EQ(deja("lanes --set postgres.url=").code, 78);
}

TEST_F(Cli, SendsOneRecordWithKeyHeadersAndNull) {
  const auto sent = deja("send " + topic("one") + " hello --key k --header a=b=c --output json").rows();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0]["topic"], topic("one"));
  EXPECT_EQ(sent[0]["offset"], 0);
  EXPECT_EQ(deja("send " + topic("one") + " --key k").code, 0);
  EXPECT_EQ(deja("send " + topic("one") + " x --header nonsense").code, 64);
}

TEST_F(Cli, SendsAFileInOrderAndStopsAtTheFirstMalformedLine) {
  write("good", "{\"key\":\"a\",\"value\":\"1\"}\n\n{\"key\":\"a\",\"value\":{\"base64\":\"AP8=\"},\"headers\":[[\"h\",null]]}\n");
  const auto good = deja("send " + topic("file") + " --file good --output json");
  EXPECT_EQ(good.code, 0) << good.err;
  const auto rows = good.rows();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0]["offset"], 0);
  EXPECT_EQ(rows[1]["offset"], 1);

  write("bad", "{\"value\":\"1\"}\n{\"value\":\n{\"value\":\"3\"}\n");
  const auto bad = deja("send " + topic("file") + " --file - --output json < bad");
  EXPECT_EQ(bad.code, 65);
  EXPECT_EQ(bad.rows().size(), 1u) << "what came before the line was sent, and is told";
  EXPECT_THAT(bad.last_error(), HasSubstr("line 2"));
  EXPECT_THAT(bad.last_error(), HasSubstr("records sent: 1"));
}

TEST_F(Cli, SendsAsManyRecordsAsThereAre) {
  std::string lines;
  for (int i = 0; i < 30'000; ++i) lines += "{\"key\":\"same\",\"value\":\"" + std::to_string(i) + "\"}\n";
  write("many", lines);
  const auto rows = deja("send " + topic("many") + " --file many --output json").rows();
  ASSERT_EQ(rows.size(), 30'000u);
  for (std::size_t i = 0; i < rows.size(); ++i) ASSERT_EQ(rows[i]["offset"], i);
}

TEST_F(Cli, SendSaysWhenKafkaIsAway) {
  const auto result = deja("send t x --set kafka.bootstrap.servers=127.0.0.1:1 --set startup.timeout.ms=1000");
  EXPECT_EQ(result.code, 69);
  EXPECT_THAT(result.last_error(), HasSubstr("127.0.0.1:1"));
}

TEST_F(Cli, SendThatLosesKafkaMidwaySaysTryAgain) {
  std::signal(SIGPIPE, SIG_IGN);
  auto broker = std::make_unique<kafka::MockBroker>();
  const auto servers = broker->bootstrap_servers();
  ASSERT_EQ(::mkfifo((folder_ + "/lines").c_str(), 0600), 0);
  auto sent = std::async(std::launch::async, [&] {
    return deja("send t --file - --output json --set startup.timeout.ms=2000 --set kafka.bootstrap.servers=" + servers + " < lines");
  });
  std::ofstream lines(folder_ + "/lines");
  do lines << "{\"value\":\"1\"}\n" << std::flush;  // what was delivered is told with the next record
  while (sent.wait_for(std::chrono::milliseconds(20)) == std::future_status::timeout && read_file(folder_ + "/out").empty());
  broker.reset();
  lines << "{\"value\":\"2\"}\n" << std::flush;
  lines.close();
  const auto result = sent.get();
  EXPECT_EQ(result.code, 75) << result.err;
  EXPECT_THAT(result.last_error(), ::testing::MatchesRegex(".*; records sent: [1-9][0-9]*"));
}

TEST_F(Cli, EveryCommandTakesTheCommonOptions) {
  for (const auto* command : {"", "migrate", "doctor", "config", "handlers", "lanes", "lanes reset", "lanes accept-loss", "outbox", "dlq", "dlq list", "dlq show", "audit-log", "send", "dev", "version"}) {
    const auto result = deja(std::string(command) + " --config f --set group.id=x --group g --output json --limit 5 --count --help");
    EXPECT_EQ(result.code, 0) << command << ": " << result.err;
    for (const auto* option : {"--config", "--set", "--group", "--output", "--limit", "--count"}) EXPECT_THAT(result.out, HasSubstr(option)) << command;
  }
  EXPECT_EQ(deja("version --group g --limit 1 --count").out, "1\n");
  EXPECT_EQ(deja("--group g version --output json").rows().size(), 1u);
}

TEST_F(Cli, CountIsOfAllRowsWhateverTheLimitAndAWrongLimitIsToldPlainly) {
  migrate();
  for (int i = 0; i < 3; ++i) sql("insert into deja.lanes (group_id, topic, partition, lane, next_offset) values ('g', 't', " + std::to_string(i) + ", 0, 0)");
  EXPECT_EQ(deja("lanes --count --limit 2").out, "3\n");
  for (const auto* wrong : {"-1", "x", "1.5"}) {
    const auto result = deja(std::string("lanes --limit ") + wrong);
    EXPECT_EQ(result.code, 64) << wrong;
    EXPECT_THAT(result.last_error(), HasSubstr(std::string(wrong) + " is no whole number from 0 on"));
  }
}

TEST_F(Cli, ShowsLanesWithTheirLag) {
  migrate();
  ASSERT_EQ(deja("send " + topic("lag") + " a").code, 0);
  sql("insert into deja.lanes (group_id, topic, partition, lane, next_offset, next_event_seq, published_seq) values ('g', '" + topic("lag") + "', 0, 0, 0, 3, 1)");
  sql("insert into deja.outbox_0 (lane, seq, event_id, topic, headers) values (1, 2, gen_random_uuid(), 'events', '[]')");
  const auto rows = deja("lanes --output json --filter 'group=g and lag>=0'").rows();
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0]["next_offset"], 0);
  EXPECT_GE(rows[0]["log_end_offset"], 1);
  EXPECT_EQ(rows[0]["lag"], rows[0]["log_end_offset"]);
  EXPECT_EQ(deja("lanes --count --group other").out, "0\n");

  const auto away = deja("lanes --output json --set kafka.bootstrap.servers=127.0.0.1:1");
  EXPECT_EQ(away.code, 0);
  EXPECT_TRUE(away.rows().at(0)["lag"].is_null());
  EXPECT_THAT(away.err, HasSubstr("warning"));

  const auto outbox = deja("outbox --output json").rows();
  ASSERT_EQ(outbox.size(), 1u);
  EXPECT_EQ(outbox[0]["unpublished"], 1);
  EXPECT_TRUE(outbox[0]["oldest_age"].is_number());
}

TEST_F(Cli, ListsAndShowsDeadLetters) {
  migrate();
  sql("insert into deja.lanes (group_id, topic, partition, lane, next_offset) values ('g', 't', 0, 0, 0)");
  for (int i = 0; i < 3; ++i) {
    sql("insert into deja.dead_letters (group_id, handler, lane, topic, partition, \"offset\", incarnation, record_key, value, headers, record_timestamp, cause, "
        "stage, error, fingerprint, build, attempts, size) values ('g', 'h', 1, 't', 0, " + std::to_string(i) +
        ", gen_random_uuid(), '\\x00ff', convert_to('{\"secret\": 1}', 'UTF8'), '[[\"n\", \"secret\"]]', 0, '" + (i == 0 ? "rejected" : "exhausted") +
        "', 'handler', 'timeout', 'f', 'b', 1, 13)");
  }
  const auto rows = deja("dlq list --output json --filter 'cause=exhausted and error~time and dead_at>2026-01-01'").rows();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0]["record_key"]["base64"], "AP8=");
  EXPECT_EQ(rows[0]["status"], "open");
  EXPECT_TRUE(rows[0]["action_id"].is_null());
  EXPECT_EQ(deja("dlq list --count").out, "3\n");
  EXPECT_EQ(deja("dlq list --output json --limit 1").rows().size(), 1u);

  EXPECT_EQ(deja("dlq show 1 --output json").rows().at(0)["value"], "{\"secret\": 1}");
  EXPECT_THAT(deja("dlq show 1").out, HasSubstr("{\"secret\": 1}"));
  EXPECT_THAT(deja("dlq show 1 --as json").out, HasSubstr("  \"secret\": 1"));
  EXPECT_THAT(deja("dlq show 1 --as hex").out, HasSubstr("7b22736563726574223a20317d"));
  EXPECT_THAT(deja("dlq show 1 --redacted").out, ::testing::Not(HasSubstr("secret")));
  EXPECT_THAT(deja("dlq show 1 --redacted --output json").out, ::testing::Not(HasSubstr("secret")));
  EXPECT_EQ(deja("dlq show 99").code, 65);
}

TEST_F(Cli, DoctorIsContentWithAHealthyStackAndNamesWhatIsMissing) {
  const auto before = deja("doctor --output json");
  EXPECT_EQ(before.code, 1);
  EXPECT_THAT(before.last_error(), HasSubstr("schema"));
  migrate();
  const auto healthy = deja("doctor --output json");
  EXPECT_EQ(healthy.code, 0) << healthy.out;
  for (const auto& row : healthy.rows()) EXPECT_NE(row["status"], "fail");

  sql("insert into deja.handlers (group_id, handler, instance, topics, strategy, build) values ('g', 'h', 'i', '{" + topic("absent") + "}', 'header k', 'b')");
  sql("drop trigger lane_is_closed on deja.lanes");
  const auto sick = deja("doctor --output json");
  EXPECT_EQ(sick.code, 1);
  EXPECT_THAT(sick.last_error(), HasSubstr("commit_guard"));
  EXPECT_THAT(sick.last_error(), HasSubstr("topics"));
  EXPECT_EQ(deja("doctor --set kafka.bootstrap.servers=127.0.0.1:1").code, 1);
}

TEST_F(Cli, ShowsTheSettingsAndWhereTheyComeFrom) {
  write("deja.toml", "group.id = \"from-file\"\n[app]\nname = \"x\"\n");
  const auto rows = deja("config --output json --set log.level=debug --filter 'origin=file or origin=set'").rows();
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(deja("config --set no.such.key=1").code, 78);
  EXPECT_THAT(deja("config --defaults --output markdown").out, HasSubstr("postgres.schema"));
  EXPECT_EQ(deja("config --output markdown").code, 64);
}

TEST_F(Cli, EndsQuietlyWhenTheReaderHasGone) {
  // More than a pipe holds, so that some write comes too late.
  const auto result = deja("config --defaults --output markdown 2> said | true; cat said");
  EXPECT_EQ(result.out, "");
}

TEST_F(Cli, DevRunsACommandOnServersOfItsOwnAndPassesItsCodeOn) {
  const auto result = deja("dev -- bash -c 'deja send t x --output json; deja lanes --count; exit 7'", "DEJA_KAFKA=");
  EXPECT_EQ(result.code, 7) << result.err;
  EXPECT_THAT(result.out, HasSubstr("export DEJA_KAFKA=127.0.0.1:"));
  EXPECT_THAT(result.out, HasSubstr("export DEJA_POSTGRES=postgresql://"));
  EXPECT_THAT(result.out, HasSubstr("\"offset\":0"));
  EXPECT_EQ(deja("dev -- /no/such/program").code, 64);
}

}  // namespace
}  // namespace deja
