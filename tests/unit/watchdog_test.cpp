#include "runtime/watchdog.h"

#include <future>
#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace deja::runtime {
namespace {

using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::HasSubstr;

/// Moves only when it is told to.
class StillClock final : public core::Clock {
 public:
  core::Steady::time_point now() const override { return now_; }
  void advance(milliseconds by) { now_ += by; }

 private:
  core::Steady::time_point now_{milliseconds(1'000'000)};
};

class WatchdogTest : public ::testing::Test {
 protected:
  /// As its thread does, every quarter of the second that a handler with this time-out may be late.
  std::optional<std::string> look_for(milliseconds time) {
    std::optional<std::string> cause;
    for (milliseconds t{0}; t < time && !cause; t += milliseconds(250)) {
      clock_.advance(milliseconds(250));
      cause = watchdog_.look();
    }
    return cause;
  }

  StillClock clock_;
  Watchdog watchdog_{milliseconds(1000), clock_, [](const std::string&) {}};
};

TEST_F(WatchdogTest, D5_NamesTheHandlerThatDoesNotReturnAndTheRecord) {
  const auto idle = watchdog_.add(), stuck = watchdog_.add();
  stuck->of("settle", "payments/3");
  stuck->begin(42);
  EXPECT_THAT(look_for(milliseconds(5000)).value_or(""), AllOf(HasSubstr("handler settle hangs"), HasSubstr("payments/3 offset 42"), HasSubstr("2000 ms"), HasSubstr("handler.timeout.ms is 1000")));
}

TEST_F(WatchdogTest, D5_CallsThatReturnAreTheirBatchsToJudge) {
  const auto busy = watchdog_.add();
  for (int n = 0; n < 20; ++n) {
    const CallInProgress::Told call(busy.get(), n);
    EXPECT_FALSE(look_for(milliseconds(1750)));
  }
}

TEST_F(WatchdogTest, D5_TimeInWhichTheProcessStoodStillIsNoHang) {
  const auto frozen = watchdog_.add();
  frozen->begin(1);
  EXPECT_FALSE(look_for(milliseconds(500)));
  clock_.advance(std::chrono::hours(1));
  EXPECT_FALSE(watchdog_.look());
  EXPECT_TRUE(look_for(milliseconds(2000))) << "it still does not return";
}

TEST_F(WatchdogTest, A4_ACallIsToldForHowLongTheProcessStoodStillMeanwhile) {
  const auto frozen = watchdog_.add();
  EXPECT_FALSE(watchdog_.look());
  clock_.advance(std::chrono::hours(1));
  EXPECT_FALSE(watchdog_.look());
  frozen->begin(1);
  EXPECT_FALSE(look_for(milliseconds(1000)));
  EXPECT_EQ(frozen->stood_still(), milliseconds(0)) << "what was before the call is none of it";
  clock_.advance(std::chrono::minutes(1));
  EXPECT_EQ(frozen->stood_still(), milliseconds(59'500)) << "before the next look, too";
  EXPECT_FALSE(watchdog_.look());
  EXPECT_EQ(frozen->stood_still(), milliseconds(59'500));
}

TEST_F(WatchdogTest, D5_AWorkerThatIsGoneHangsNoMore) {
  auto gone = watchdog_.add();
  gone->begin(1);
  EXPECT_FALSE(look_for(milliseconds(500)));
  gone.reset();
  EXPECT_FALSE(look_for(milliseconds(5000)));
}

TEST(WatchdogThread, D5_TellsOnceAndEnds) {
  const core::SteadyClock clock;
  std::promise<std::string> told;
  Watchdog watchdog(milliseconds(1), clock, [&](const std::string& cause) { told.set_value(cause); });
  const auto stuck = watchdog.add();
  stuck->of("settle", "payments/3");
  stuck->begin(7);
  watchdog.start();
  EXPECT_THAT(told.get_future().get(), HasSubstr("offset 7"));
}

TEST(CallInProgressTest, D5_ACallEndsHoweverItEnds) {
  CallInProgress call;
  try {
    const CallInProgress::Told told(&call, 7);
    EXPECT_TRUE(call.now());
    throw std::runtime_error("x");
  } catch (const std::exception&) {
  }
  EXPECT_FALSE(call.now());
}

}  // namespace
}  // namespace deja::runtime
