#include "config/reference.h"

#include <sstream>

#include "config/options.h"
#include "config_support.h"

namespace deja::config::testing {
namespace {

TEST(ConfigurationPage, IsTheOneMadeFromTheOptionTable) {
  std::ifstream file(std::string(DEJA_SOURCE_DIR) + "/docs/configuration.md", std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_TRUE(text.str() == configuration_reference())
      << "docs/configuration.md does not match the option table; make it again with\n"
         "  build/bin/deja config --defaults --output markdown > docs/configuration.md";
}

TEST(ConfigurationPage, NamesEachKeyAndItsVariable) {
  const auto page = configuration_reference();
  for (const auto& option : options()) {
    EXPECT_TRUE(contains(page, "| `" + std::string(option.key) + "` |")) << option.key;
    if (!option.environment.empty()) {
      EXPECT_TRUE(contains(page, "`$" + std::string(option.environment) + "`")) << option.key;
    }
  }
}

TEST(ConfigurationPage, HasAnExampleThatLoads) {
  const auto page = configuration_reference();
  const auto begin = page.find("```toml\n") + 8;
  const auto config = load_text(page.substr(begin, page.find("```", begin) - begin), {}, {{"PG_PASSWORD", "p"}, {"KAFKA_PASSWORD", "k"}});
  EXPECT_EQ(config.integer("retry.max.attempts"), 8);
  EXPECT_EQ(config.app_text("events.topic", ""), "payments.settled");
  EXPECT_EQ(config.kafka(Role::consumer).back(), (std::pair<std::string, std::string>("session.timeout.ms", "30000")));
}

TEST(ConfigurationPage, AndTheListOfDefaultsShowTheSameKeys) {
  const auto entries = Config::default_entries();
  ASSERT_EQ(entries.size(), options().size());
  for (const auto& entry : entries) EXPECT_EQ(entry.origin, "default") << entry.key;
  EXPECT_EQ(load_text("log.level = \"warn\"").entries(true).size(), options().size());
}

}  // namespace
}  // namespace deja::config::testing
