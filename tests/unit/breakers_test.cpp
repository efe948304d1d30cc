#include "runtime/breakers.h"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ops/prometheus_metrics.h"

namespace deja::runtime {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::Not;

class Silent final : public core::Log {
 public:
  bool enabled(core::Level level) const override { return level >= core::Level::info; }
  void write(core::Level, std::string_view message, std::initializer_list<core::Field>) override { text << message << '\n'; }
  std::ostringstream text;
};

class BreakersTest : public ::testing::Test {
 protected:
  void fail(const Need& need, core::Breaker::Caller caller, int times) {
    for (int n = 0; n < times; ++n) breakers_.failed(need, caller, now_, 0.0, milliseconds(0), "it said no");
  }
  std::string gauge(int value) const { return "deja_breaker_state{group=\"g\",dependency=\"bank\"} " + std::to_string(value) + "\n"; }

  const int lanes_[2] = {};
  const core::Breaker::Caller a = &lanes_[0], b = &lanes_[1];
  const Need settle_{"bank", "settle"}, refund_{"bank", "refund"};
  core::Steady::time_point now_{milliseconds(1'000'000)};
  std::int64_t wall_ = 5'000;
  Silent log_;
  ops::PrometheusMetrics metrics_{"g"};
  Breakers breakers_{{2, milliseconds(1000)}, log_, metrics_, [this] { return wall_; }};
};

TEST_F(BreakersTest, D9_EachHandlerHasItsOwnAndTheGaugeShowsTheWorst) {
  fail(settle_, a, 2);
  fail(refund_, b, 1);
  EXPECT_FALSE(breakers_.ask(settle_, a, now_).allowed);
  EXPECT_TRUE(breakers_.ask(refund_, b, now_).allowed);
  EXPECT_THAT(metrics_.render(), HasSubstr(gauge(2)));
  breakers_.ask(settle_, a, now_ + milliseconds(1000));
  EXPECT_THAT(metrics_.render(), HasSubstr(gauge(1)));
  breakers_.succeeded(settle_, a);
  EXPECT_THAT(metrics_.render(), HasSubstr(gauge(0)));
}

TEST_F(BreakersTest, D9_TellsStateSinceAndCauseAndLogsAnOutageOnce) {
  fail(settle_, a, 1);
  wall_ = 6'000;
  fail(settle_, a, 5);
  wall_ = 7'000;
  ASSERT_EQ(breakers_.all().size(), 1U);
  EXPECT_EQ(breakers_.all()[0], (core::BreakerStatus{"bank", "settle", "open", 6'000, "it said no"}));
  now_ += milliseconds(1000);
  breakers_.ask(settle_, a, now_);
  fail(settle_, a, 1);  // the probe
  now_ += milliseconds(1000);
  breakers_.ask(settle_, a, now_);
  breakers_.succeeded(settle_, a);
  EXPECT_EQ(log_.text.str(), "breaker is open; what needs the dependency waits, nothing is spent\nbreaker is closed\n");
  EXPECT_EQ(breakers_.all()[0].cause, "");
}

TEST_F(BreakersTest, D9_WhenNobodyWaitsAnyMoreItCloses) {
  fail(settle_, a, 1);
  fail(settle_, b, 1);
  EXPECT_FALSE(breakers_.left(settle_, a));
  EXPECT_EQ(breakers_.all()[0].state, "open");
  EXPECT_TRUE(breakers_.left(settle_, b));
  EXPECT_EQ(breakers_.all()[0].state, "closed");
}

TEST_F(BreakersTest, D9_ATurnThatIsGivenBackIsSomebodyElses) {
  fail(settle_, a, 2);
  now_ += milliseconds(1000);
  EXPECT_TRUE(breakers_.ask(settle_, a, now_).probe);
  EXPECT_FALSE(breakers_.ask(settle_, b, now_).allowed);
  breakers_.give_back(settle_, a);
  EXPECT_TRUE(breakers_.ask(settle_, b, now_).probe);
}

TEST_F(BreakersTest, D9_AnOperatorClosesTheOneThatIsNamed) {
  fail(settle_, a, 2);
  EXPECT_FALSE(breakers_.reset(refund_));
  EXPECT_TRUE(breakers_.reset(settle_));
  EXPECT_TRUE(breakers_.ask(settle_, a, now_).allowed);
}

TEST_F(BreakersTest, NamesThatVaryDoNotPileUp) {
  for (int n = 0; n < 5'000; ++n) {
    const Need need{"host-" + std::to_string(n), "settle"};
    fail(need, a, 1);
    breakers_.left(need, a);
  }
  EXPECT_LE(breakers_.all().size(), 200U);
}

}  // namespace
}  // namespace deja::runtime
