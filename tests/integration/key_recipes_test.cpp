#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "postgres/registry_store.h"
#include "support/lane_rig.h"

// K1 in the database: which recipe is stored after which start. What is decided, and why, is in unit/key_change_test.cpp.

namespace deja::test {
namespace {

using std::chrono::hours;

core::KeyRecipe recipe(const std::string& scope) { return {"settle", scope, "header Idempotency-Key", "none", "none"}; }

struct KeyRecipesStored : ::testing::Test {
  RigDatabase database{""};
  postgres::Connection connection{{.url = database.url(), .what = "test"}};
  postgres::RegistryStore registry{"deja", "test"};

  std::string start(const core::KeyRecipes& declared, hours window = hours(1)) {
    const auto refusal = registry.agree_on_recipes(connection, {{"a", declared}, {"b", declared}}, window);
    return refusal ? refusal->why : "";
  }
  std::string stored() {
    return database.value("select string_agg(topic || ':' || scope || ',' || coalesce(previous_scope, '-'), ' ' order by topic) from deja.recipes");
  }
};

TEST_F(KeyRecipesStored, K1_FollowTheChangeForwardsAndBackwards) {
  EXPECT_EQ(start({recipe("1")}), "");
  EXPECT_EQ(stored(), "a:1,- b:1,-");
  EXPECT_THAT(start({recipe("2")}), ::testing::HasSubstr("dedup.scope was \"1\" and is now \"2\""));
  EXPECT_THAT(start({recipe("2"), recipe("3")}), ::testing::HasSubstr("is stored as \"1\" and keys.previous makes it \"3\""));
  EXPECT_EQ(stored(), "a:1,- b:1,-");
  EXPECT_EQ(start({recipe("2"), recipe("1")}), "");
  EXPECT_EQ(start({recipe("2"), recipe("1")}), "") << "the other instances";
  EXPECT_EQ(stored(), "a:2,1 b:2,1");
  EXPECT_EQ(start({recipe("1")}), "") << "an old program restarts, or all are rolled back";
  EXPECT_EQ(stored(), "a:2,1 b:2,1");
  EXPECT_THAT(start({recipe("2")}), ::testing::HasSubstr("put keys.previous back until then"));
  EXPECT_EQ(start({recipe("2")}, hours(0)), "") << "a window later";
  EXPECT_EQ(stored(), "a:2,- b:2,-");
  EXPECT_NE(start({recipe("1")}), "");
}

TEST_F(KeyRecipesStored, K1_ARefusalForOneTopicStoresNothingForAnother) {
  EXPECT_EQ(start({recipe("1")}), "");
  database.value("with b as (update deja.recipes set scope = 'other' where topic = 'b' returning 1) select * from b");
  EXPECT_NE(start({recipe("2"), recipe("1")}), "");
  EXPECT_EQ(stored(), "a:1,- b:other,-");
}

TEST_F(KeyRecipesStored, K1_TheWindowCountsFromTheLastSightOfAProgramWithoutTheCurrentRecipe) {
  EXPECT_EQ(start({recipe("2"), recipe("1")}), "");
  const auto age = [&](const char* what) {
    return database.value(std::string("with t as (update deja.recipes set previous_used_at = clock_timestamp() - interval '2 hours' returning 1) select count(*) || '") + what + "' from t");
  };
  age("");
  registry.enter(connection, {recipe("2"), "new instance", "build", {"a", "b"}});
  registry.seen(connection, "new instance");
  EXPECT_EQ(start({recipe("2"), recipe("1")}), "");
  EXPECT_EQ(database.value("select count(*) from deja.recipes where previous_used_at < clock_timestamp() - interval '1 hour'"), "2");
  registry.enter(connection, {recipe("1"), "old instance", "build", {"a", "b"}});
  registry.seen(connection, "old instance");
  EXPECT_NE(start({recipe("2")}), "") << "it still makes keys that the program would not see";
  age("");
  EXPECT_EQ(start({recipe("2")}), "");
}

}  // namespace
}  // namespace deja::test
