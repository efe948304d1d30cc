#include "config_support.h"

namespace deja::config::testing {
namespace {

TEST(ProgramSettings, KeepTheirTypes) {
  const auto config = load_text(R"(
[app]
topics = ["a", "b"]
events.topic = "e"
limit = 5
fast = true
share = 0.5
)");
  EXPECT_EQ(config.app_list("topics", {}), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(config.app_text("events.topic", ""), "e");
  EXPECT_EQ(config.app_integer("limit", 0), 5);
  EXPECT_TRUE(config.app_flag("fast", false));
  EXPECT_EQ(std::get<double>(config.app().at("share").value), 0.5);
  EXPECT_TRUE(contains(config.app().at("limit").place, "deja.toml:5"));
  EXPECT_EQ(entry_of(config, "app.topics").value, R"(["a", "b"])");
  EXPECT_EQ(entry_of(config, "app.limit").type, "integer");
}

TEST(ProgramSettings, HaveTheProgramsDefaults) {
  const auto config = load_text("");
  EXPECT_EQ(config.app_list("topics", {"probe"}), std::vector<std::string>{"probe"});
  EXPECT_EQ(config.app_text("x", "t"), "t");
  EXPECT_EQ(config.app_integer("x", 3), 3);
  EXPECT_TRUE(config.app_flag("x", true));
}

TEST(ProgramSettings, AfterSetAreTomlWhereTheyParseAsThatAndTextElsewhere) {
  const auto config = load_sets({"app.n=5", "app.f=true", "app.l=[\"a\", \"b\"]", "app.s=plain text", "app.q=\"quoted\"", "app.d=1979-05-27",
                                 "app.e=", "app.two=1\nother = 2", "app.one=a,b"});
  EXPECT_EQ(config.app_integer("n", 0), 5);
  EXPECT_EQ(config.app_text("n", ""), "5");
  EXPECT_TRUE(config.app_flag("f", false));
  EXPECT_EQ(config.app_list("l", {}), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(config.app_text("s", ""), "plain text");
  EXPECT_EQ(config.app_text("q", ""), "quoted");
  EXPECT_EQ(config.app_text("d", ""), "1979-05-27");
  EXPECT_EQ(config.app_text("e", "x"), "");
  EXPECT_EQ(config.app_text("two", ""), "1\nother = 2");
  EXPECT_EQ(config.app_list("one", {}), (std::vector<std::string>{"a", "b"}));
}

TEST(ProgramSettings, OfTheWrongTypeAreRefused) {
  const auto config = load_text("app.n = \"5\"\napp.s = 5\napp.l = \"a\"\napp.f = 1\n", {"app.t=x"});
  expect_refused(refused([&] { config.app_integer("n", 0); }), 78, {"deja.toml:1: app.n = \"5\" is a string; it takes a whole number"});
  expect_refused(refused([&] { config.app_text("s", ""); }), 78, {"deja.toml:2", "a whole number; it takes a string"});
  expect_refused(refused([&] { config.app_list("l", {}); }), 78, {"deja.toml:3", "it takes a list of strings"});
  expect_refused(refused([&] { config.app_flag("f", false); }), 78, {"deja.toml:4", "it takes true or false"});
  expect_refused(refused([&] { config.app_integer("t", 0); }), 78, {"--set: app.t = \"x\""});
}

TEST(ProgramSettings, ThatNoValueCanHoldAreRefusedAtOnce) {
  expect_refused(refused_text("app.mixed = [1, \"a\"]\napp.when = 07:32:00\n[[app.tables]]\nx = 1\n"), 78,
                 {"app.mixed is a list that is not all strings", "app.when is a time", "app.tables is a list of tables"});
  expect_refused(refused_text("app = 5"), 78, {"\"app\" = 5 is no known key"});
}

TEST(ProgramSettings, UnknownToTheProgramAreRefusedTogether) {
  const auto config = load_text("app.topcis = [\"a\"]\napp.limit = 5\napp.password = \"hidden\"\n");
  constexpr std::string_view known[] = {"topics", "limit"};
  const auto refusal = refused([&] { config.refuse_unknown_app_keys(known); });
  expect_refused(refusal, 78, {"app.topcis", "did you mean app.topics?", "app.password"});
  EXPECT_FALSE(contains(refusal.message, "hidden"));
  EXPECT_EQ(refused([&] { load_text("app.limit = 5").refuse_unknown_app_keys(known); }).exit_code, 0);
}

}  // namespace
}  // namespace deja::config::testing
