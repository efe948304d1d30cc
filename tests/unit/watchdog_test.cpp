#include "runtime/watchdog.h"

#include <atomic>
#include <future>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace deja::runtime {
namespace {

using std::chrono::milliseconds;

/// Moves only when it is told to.
class StillClock final : public core::Clock {
 public:
  core::Steady::time_point now() const override { return core::Steady::time_point(milliseconds(now_.load())); }
  void advance(milliseconds by) { now_ += by.count(); }

 private:
  std::atomic<std::int64_t> now_{1'000'000};
};

TEST(Watchdog, D5_NamesTheHandlerThatDoesNotReturnAndTheRecord) {
  StillClock clock;
  std::promise<std::string> told;
  Watchdog watchdog(milliseconds(40), clock, [&](const std::string& cause) { told.set_value(cause); });
  const auto quick = watchdog.add(), stuck = watchdog.add();
  quick->of("probe", "t/0");
  stuck->of("settle", "payments/3");
  { const CallInProgress::Told call(quick.get(), 1, clock.now()); }
  stuck->begin(42, clock.now());
  clock.advance(milliseconds(1040));
  watchdog.start();
  EXPECT_THAT(told.get_future().get(), ::testing::AllOf(::testing::HasSubstr("handler settle hangs"), ::testing::HasSubstr("payments/3 offset 42"), ::testing::HasSubstr("handler.timeout.ms is 40")));
}

TEST(Watchdog, D5_ACallThatReturnsLateIsItsBatchsToJudge) {
  StillClock clock;
  std::atomic<int> told{0};
  Watchdog watchdog(milliseconds(40), clock, [&](const std::string&) { ++told; });
  auto call = watchdog.add();
  call->begin(1, clock.now());
  clock.advance(milliseconds(1039));
  watchdog.start();
  watchdog.stop();
  EXPECT_EQ(told, 0);
  auto gone = watchdog.add();
  gone->begin(2, clock.now());
  gone.reset();  // with its worker
}

TEST(Watchdog, D5_ACallEndsHoweverItEnds) {
  CallInProgress call;
  try {
    const CallInProgress::Told told(&call, 7, core::Steady::time_point{});
    EXPECT_TRUE(call.now());
    throw std::runtime_error("x");
  } catch (const std::exception&) {
  }
  EXPECT_FALSE(call.now());
}

}  // namespace
}  // namespace deja::runtime
