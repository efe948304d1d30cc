#include "config_support.h"

namespace deja::config::testing {
namespace {

/// The working directory for the length of a test.
class Inside {
 public:
  explicit Inside(const std::string& path) : before_(std::filesystem::current_path()) { std::filesystem::current_path(path); }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
  ~Inside() { std::filesystem::current_path(before_); }

 private:
  std::filesystem::path before_;
};

std::string level(const Config& config) { return config.text("log.level"); }

TEST(ConfigurationFile, IsTheExplicitOneThenTheVariablesThenTheOneInTheWorkingDirectory) {
  const Folder folder;
  const auto explicit_file = folder.write("explicit.toml", "log.level = \"debug\"");
  const auto named = folder.write("named.toml", "log.level = \"warn\"");
  const Environment environment = environment_of({{"DEJA_CONFIG", named}});
  {
    const Inside inside(folder.path());
    EXPECT_EQ(level(Config::load({.application_name = "a"})), "info");
    folder.write("deja.toml", "log.level = \"error\"");
    EXPECT_EQ(level(Config::load({.application_name = "a"})), "error");
    EXPECT_EQ(level(Config::load({.application_name = "a", .environment = environment_of({{"DEJA_CONFIG", ""}})})), "error");
    EXPECT_EQ(level(Config::load({.application_name = "a", .environment = environment})), "warn");
    EXPECT_EQ(level(Config::load({.application_name = "a", .file = explicit_file, .environment = environment})), "debug");
  }
}

TEST(ConfigurationFile, ThatWasNamedMustBeThere) {
  expect_refused(refused([] { Config::load({.file = "/nowhere/x.toml"}); }), 78, {"/nowhere/x.toml", "--config", "does not exist"});
  expect_refused(refused([] { Config::load({.environment = environment_of({{"DEJA_CONFIG", "/nowhere/y.toml"}})}); }), 78,
                 {"/nowhere/y.toml", "$DEJA_CONFIG", "does not exist"});
  expect_refused(refused([] { Config::load({.file = ""}); }), 78, {"does not exist"});
}

TEST(ConfigurationFile, ThatIsAFolderIsRefused) {
  const Folder folder;
  expect_refused(refused([&] { Config::load({.file = folder.path()}); }), 78, {"is a folder"});
}

TEST(ConfigurationFile, ThatIsNoTomlIsRefusedWithItsLine) {
  expect_refused(refused_text("log.level = \"info\"\nbatch.max.records = \n"), 78, {"deja.toml:2", "not TOML"});
  expect_refused(refused_text("a.b = 1\na.b.c = 2\n"), 78, {"deja.toml:2"});
  expect_refused(refused_text("x = \"\xff\xfe\"\n"), 78, {"not TOML"});
}

TEST(ConfigurationFile, MayBeginWithAByteOrderMarkAndHaveCarriageReturns) {
  EXPECT_EQ(level(load_text("\xEF\xBB\xBFlog.level = \"warn\"\r\n[retry]\r\nmax.attempts = 2\r\n")), "warn");
}

TEST(ConfigurationFile, MayHoldEmptyTablesOfKnownKeysOnly) {
  EXPECT_EQ(refused_text("[retry]\n[retry.backoff]\n[kafka]\n[kafka.consumer]\n[app]\n[app.x]\n").exit_code, 0);
  expect_refused(refused_text("[retyr]\n"), 78, {"\"retyr\" is no known key"});
  expect_refused(refused_text("[http.address]\n"), 78, {"http.address is an empty table"});
}

TEST(ConfigurationFile, TakesTheEnvironmentInsideStringsOnce) {
  const auto config = load_text(R"(
postgres.url = "postgresql://app:${PASSWORD}@db/$$x$y"
batch.max.records = "${RECORDS}"
dlq.headers.allow = ["${A}", "b"]
app."${A}" = 1
app.nested = "${NESTED}"
)",
                                {"group.id=${A}-${A}", "app.count=${RECORDS}"},
                                {{"PASSWORD", "p"}, {"RECORDS", "44"}, {"A", "a"}, {"NESTED", "${A}$$"}});
  EXPECT_EQ(config.text("postgres.url"), "postgresql://app:p@db/$x$y");
  EXPECT_EQ(config.integer("batch.max.records"), 44);
  EXPECT_EQ(config.list("dlq.headers.allow"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(config.group_id(), "a-a");
  EXPECT_EQ(config.app_integer("${A}", 0), 1);
  EXPECT_EQ(config.app_integer("count", 0), 44);
  EXPECT_EQ(config.app_text("nested", ""), "${A}$$");
}

TEST(ConfigurationFile, RefusesAVariableThatIsNotSet) {
  expect_refused(refused_text("\npostgres.url = \"${NOT_SET}\""), 78, {"deja.toml:2: postgres.url", "${NOT_SET}", "not set"});
  expect_refused(refused_text("", {"app.x=${ODD-NAME}"}), 78, {"--set: app.x", "$${"});
  expect_refused(refused_text("app.x = \"${OPEN\""), 78, {"$${"});
  EXPECT_EQ(load_text("app.x = \"$${OPEN $ $1\"").app_text("x", ""), "${OPEN $ $1");
}

TEST(ConfigurationFile, RefusesANumberInAPlainString) {
  expect_refused(refused_text("batch.max.records = \"44\""), 78, {"batch.max.records = \"44\" is wrong"});
}

}  // namespace
}  // namespace deja::config::testing
