#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "postgres/connection.h"
#include "postgres/migrations.h"

// Runs the `deja` command as an operator would.

namespace deja {
namespace {

using nlohmann::json;
using testing::HasSubstr;

struct Result {
  int code = -1;
  std::string out, err;

  std::vector<json> rows() const {
    std::vector<json> all;
    std::istringstream lines(out);
    for (std::string line; std::getline(lines, line);) all.push_back(json::parse(line));
    return all;
  }
  std::string last_error() const {
    std::istringstream lines(err);
    std::string last;
    for (std::string line; std::getline(lines, line);) last = line;
    return last;
  }
};

std::string read_file(const std::string& name) {
  std::ifstream in(name, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class Cli : public testing::Test {
 protected:
  void SetUp() override {
    const char* url = std::getenv("DEJA_POSTGRES");
    const char* kafka = std::getenv("DEJA_KAFKA");
    if (url == nullptr || kafka == nullptr) GTEST_SKIP() << "DEJA_POSTGRES or DEJA_KAFKA is not set";
    server_ = url;
    name_ = "deja_cli_" + std::to_string(::getpid());
    postgres::Connection connection({.url = server_, .what = "test"});
    connection.exec("drop database if exists " + name_);
    connection.exec("create database " + name_);
    url_ = postgres::with_database(server_, name_);
    char folder[] = "/tmp/deja-cli-test-XXXXXX";
    folder_ = ::mkdtemp(folder);
  }
  void TearDown() override {
    if (name_.empty()) return;
    postgres::Connection({.url = server_, .what = "test"}).exec("drop database if exists " + name_ + " with (force)");
    std::system(("rm -rf " + folder_).c_str());
  }

  // `arguments` as a shell reads them.
  Result deja(const std::string& arguments, const std::string& before = "") {
    const auto command = "cd " + folder_ + " && DEJA_POSTGRES='" + url_ + "' " + before + " timeout 90 " DEJA_BIN_DIR "/deja " + arguments + " > out 2> err";
    const int status = std::system(command.c_str());
    return {WEXITSTATUS(status), read_file(folder_ + "/out"), read_file(folder_ + "/err")};
  }
  void migrate() { ASSERT_EQ(deja("migrate").code, 0); }
  void sql(const std::string& text) { postgres::Connection({.url = url_, .what = "test"}).exec(text); }
  void write(const std::string& name, const std::string& text) { std::ofstream(folder_ + "/" + name, std::ios::binary) << text; }
  std::string topic(const std::string& what) const { return name_ + "_" + what; }

  std::string server_, name_, url_, folder_;
};

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
  EXPECT_THAT(deja("dlq show 1 --redacted").out, testing::Not(HasSubstr("secret")));
  EXPECT_THAT(deja("dlq show 1 --redacted --output json").out, testing::Not(HasSubstr("secret")));
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
