#include <gtest/gtest.h>

#include <exception>
#include <stdexcept>
#include <string>

#include "runtime/thrown.h"

namespace deja::runtime {
namespace {

struct AnInt {};

void fail(int depth) {
  try {
    if (depth == 0) throw std::out_of_range("no such account\n");
    fail(depth - 1);
  } catch (...) {
    std::throw_with_nested(std::runtime_error("at " + std::to_string(depth)));
  }
}

TEST(Thrown, NamesTheCausesOfANestedException) {
  const auto thrown = catch_thrown([] { fail(1); });
  ASSERT_TRUE(thrown);
  EXPECT_EQ(thrown->message, "at 1; caused by std::runtime_error: at 0; caused by std::out_of_range: no such account");
}

TEST(Thrown, ARejectHasItsCauseToo) {
  const auto thrown = catch_thrown([] {
    try {
      throw std::invalid_argument("amount is no number");
    } catch (...) {
      std::throw_with_nested(Reject("not a payment"));
    }
  });
  ASSERT_TRUE(thrown);
  EXPECT_EQ(thrown->trouble, core::Trouble::rejected);
  EXPECT_EQ(thrown->type, "deja::Reject");
  EXPECT_EQ(thrown->message, "not a payment; caused by std::invalid_argument: amount is no number");
}

TEST(Thrown, TheChainHasAnEnd) {
  const auto thrown = catch_thrown([] { fail(100); });
  ASSERT_TRUE(thrown);
  EXPECT_LT(thrown->message.size(), 2'000U);
  EXPECT_TRUE(thrown->message.ends_with("; caused by more")) << thrown->message;
}

TEST(Thrown, AValueThatIsNoExceptionIsNamedAsACause) {
  const auto thrown = catch_thrown([] {
    try {
      throw AnInt();
    } catch (...) {
      std::throw_with_nested(std::runtime_error("outer"));
    }
  });
  ASSERT_TRUE(thrown);
  EXPECT_NE(thrown->message.find("caused by a value of type "), std::string::npos) << thrown->message;
}

}  // namespace
}  // namespace deja::runtime
