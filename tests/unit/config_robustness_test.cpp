#include <random>

#include "config/toml_source.h"
#include "config_support.h"

namespace deja::config::testing {
namespace {

std::string repeated(const std::string& part, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += part;
  return text;
}

TEST(OddToml, ThatIsNestedDeeplyIsRefusedAndNotFollowed) {
  constexpr int many = 200'000;
  for (const auto& text : {"app.x = " + repeated("[", many), "app.x = " + repeated("{a=", many), repeated("a.", many) + "a = 1",
                           "[" + repeated("a.", many) + "a]", "app.x = { " + repeated("a.", many) + "a = 1 }",
                           "x = 1\napp.x = " + repeated("[", many) + repeated("]", many), repeated("a . ", many) + "a = 1",
                           repeated("\"a\".", many) + "a = 1", repeated("''.", many) + "a = 1"}) {
    expect_refused(refused_text(text), 78, {"nested too deeply"});
    EXPECT_FALSE(read_toml_value(text));
  }
  EXPECT_EQ(load_sets({"app.x=" + repeated("[", many)}).app_text("x", "").size(), static_cast<std::size_t>(many));
}

TEST(OddToml, WithBracketsAndDotsInStringsIsNotTakenForNested) {
  const auto dots = repeated(".[{", 1'000);
  const auto config = load_text("app.a = \"" + dots + "\\\"" + dots + "\"\napp.b = '" + dots + "' # " + dots + "\napp.c = \"\"\"\n" + dots + "\n\\\n \"" +
                                dots + "\"\"\"\"\napp.d = '''" + dots + "''''\napp.e = 5");
  EXPECT_EQ(config.app_integer("e", 0), 5);
  EXPECT_EQ(config.app_text("a", ""), dots + "\"" + dots);
  EXPECT_EQ(config.app_text("d", ""), dots + "'");
  EXPECT_TRUE(contains(config.place("app.e"), ":8")) << config.place("app.e");
}

TEST(OddToml, LargerThanAnySettingsFileIsRefused) {
  expect_refused(refused_text("# " + std::string(2'000'000, 'x')), 78, {"larger than 1 MiB"});
}

TEST(OddToml, NeverBringsTheProgramDown) {
  for (const std::string text :
       {"", "\n", "=", "[]", "[[]]", "\"\" = 1", "app.\"\" = 1", "app = {}", "kafka.\"\" = 1", "[a]\n[a]", "[[a]]\n[a]", "[a]\n[[a]]", "[[a.b]]\n[a]",
        "a = [[]]", "app.a = []", "app.a = nan", "app.a = -inf", "app.a = 0xffffffffffffffffffffff", "app.a = \"\\ud800\"", "app.a = \"\\U00110000\"",
        "app.a = 9223372036854775808", "app.a = 1e400", "batch.max.records = -9223372036854775808", "[app.a]\nb = 1\n[app]\na.c = 2", "\xEF\xBB",
        "a = \"\"\"", "a = '''", "app.a.b = 1\napp.a = 2", "\"app.a\" = 1\n[app]\na = 2", "app.\"a\\nb\" = 1", "\"x\\u0000y\" = 1",
        "postgres.url = \"$\"", "postgres.url = \"${\"", "postgres.url = \"${}\""}) {
    EXPECT_TRUE(refused_text(text).exit_code == 0 || refused_text(text).exit_code == 78) << text;
  }
  EXPECT_EQ(refused_text(std::string("app.a = \"a\0b\"", 13)).exit_code, 78);
}

TEST(OddToml, MadeAtRandomIsAcceptedOrRefused) {
  const std::vector<std::string> parts = {"app", "kafka", "retry", ".", ".", "=", "[", "]", "{", "}", "\"", "'", "\"\"\"", "'''", "\n", "\n", " ", ",",
                                          "5", "true", "0.5", "#", "\\", "${A}", "$", "group.id", "batch.max.records", "[[", "]]", "1979-05-27", "\r", "\x01",
                                          "\xff", "\xc3\xa9", "-", "+", "_", "app.a = ", "x"};
  std::mt19937 random(20'261'122);
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    const auto length = random() % 24;
    for (unsigned i = 0; i < length; ++i) text += parts[random() % parts.size()];
    read_toml(text);
    const auto value = read_toml_value(text);
    if (round % 20 > 0) continue;
    const auto refusal = refused_text(text, {"app.v=" + text, "kafka.v=" + text, "dlq.topic=" + text}, {{"A", "b"}});
    EXPECT_TRUE(refusal.exit_code == 0 || refusal.exit_code == 78) << text;
  }
}

}  // namespace
}  // namespace deja::config::testing
