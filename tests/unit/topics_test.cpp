#include <deja/topics.h>

#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace deja {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> names_of(const Topics& topics) { return topics.names(); }

TEST(TopicsTest, OneTopicIsJustItsName) {
  EXPECT_THAT(names_of("payments"), ElementsAre("payments"));
  EXPECT_THAT(names_of(std::string("payments")), ElementsAre("payments"));
  EXPECT_THAT(names_of(std::string_view("payments")), ElementsAre("payments"));
  EXPECT_THAT(names_of({"payments"}), ElementsAre("payments"));
}

TEST(TopicsTest, SeveralKeepTheirOrder) {
  EXPECT_THAT(topics("payments", std::string("refunds"), std::string_view("fees")).names(),
              ElementsAre("payments", "refunds", "fees"));
}

TEST(TopicsTest, AListFromConfigurationIsGivenByName) {
  const std::vector<std::string> configured = {"a", "b"};
  EXPECT_THAT(Topics(configured).names(), ElementsAre("a", "b"));
  EXPECT_THAT(Topics(std::vector<std::string>{}).names(), ElementsAre());
}

TEST(TopicsTest, TwoPointersNeverBecomeOneName) {
  static_assert(!std::is_constructible_v<Topics, const char*, const char*>);
  static_assert(!std::is_constructible_v<Topics, std::initializer_list<const char*>>);
  static_assert(!std::is_convertible_v<std::vector<std::string>, Topics>);
}

}  // namespace
}  // namespace deja
