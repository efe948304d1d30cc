#include "core/replay.h"

#include <gtest/gtest.h>

#include "core/dead_letter_notice.h"

namespace deja::core {
namespace {

ReplayProgress of(std::int64_t accepted, std::int64_t fed, std::int64_t in_flight, std::int64_t failed = 0) { return {.accepted = accepted, .fed = fed, .in_flight = in_flight, .failed = failed}; }

TEST(Forecast, NamesTheFirstReasonWhyADeadLetterWouldNotRun) {
  EXPECT_EQ(foretell({}), Forecast::would_run);
  EXPECT_EQ(foretell({.behind = true}), Forecast::waiting);
  EXPECT_EQ(foretell({.older_than_window = true, .behind = true}), Forecast::expired);
  EXPECT_EQ(foretell({.same_payload = true, .older_than_window = true, .behind = true}), Forecast::already_processed);
  EXPECT_EQ(foretell({.same_payload = false, .older_than_window = true}), Forecast::conflict);
  EXPECT_EQ(foretell({.registered = false, .same_payload = true}), Forecast::not_registered);
}

TEST(Forecast, RefusesWhatWouldComeToNothing) {
  for (const auto futile : {Forecast::conflict, Forecast::expired, Forecast::not_registered}) EXPECT_TRUE(is_futile(futile)) << word(futile);
  for (const auto useful : {Forecast::would_run, Forecast::waiting, Forecast::already_processed}) EXPECT_FALSE(is_futile(useful)) << word(useful);
}

TEST(Forecast, CameTrueOrNot) {
  for (const auto* outcome : {"processed", "dead"})
    for (const auto* forecast : {"would_run", "waiting"}) EXPECT_TRUE(came_true(forecast, outcome)) << forecast << " " << outcome;
  EXPECT_FALSE(came_true("would_run", "duplicate"));
  EXPECT_FALSE(came_true("would_run", "conflict"));
  EXPECT_FALSE(came_true("waiting", "discarded"));
  EXPECT_TRUE(came_true("already_processed", "duplicate"));
  EXPECT_FALSE(came_true("already_processed", "processed"));
}

TEST(ReplayPace, FeedsAllAndFinishesWhenTheLastHasEnded) {
  EXPECT_EQ(next_step(of(10, 0, 0)).feed, 10);
  EXPECT_EQ(next_step(of(5000, 0, 0)).feed, 1000) << "not all at once";
  EXPECT_EQ(next_step(of(10, 10, 1)).feed, 0);
  EXPECT_FALSE(next_step(of(10, 10, 1)).finished);
  EXPECT_TRUE(next_step(of(10, 10, 0, 10)).finished) << "without a ratio nothing stops it";
}

TEST(ReplayPace, KeepsTheRate) {
  auto progress = of(1000, 0, 0);
  progress.rate = 50;
  EXPECT_EQ(next_step(progress).feed, 0) << "no time has passed";
  progress.credit = 0.2;
  EXPECT_EQ(next_step(progress).feed, 10);
  progress.rate = 0.5;
  progress.credit = longest_credit(0.5);
  EXPECT_EQ(progress.credit, 2.0) << "one that is slow must come to one at all";
  EXPECT_EQ(next_step(progress).feed, 1);
  EXPECT_EQ(longest_credit(500), 1.0) << "one that was held up does not come in a flood";
}

TEST(ReplayPace, ACanaryGoesFirstAndTheRestOnlyWhenAllOfItDidWell) {
  auto progress = of(100, 0, 0);
  progress.canary = 5;
  EXPECT_EQ(next_step(progress).feed, 5);
  progress = of(100, 3, 3);
  progress.canary = 5;
  EXPECT_EQ(next_step(progress).feed, 2);
  progress = of(100, 5, 1);
  progress.canary = 5;
  EXPECT_EQ(next_step(progress).feed, 0) << "one is under way";
  progress = of(100, 5, 0);
  progress.canary = 5;
  EXPECT_EQ(next_step(progress).feed, 95);
  progress.failed = 1;
  EXPECT_EQ(next_step(progress).stop, "of the first, 1 of 5 failed, more than 0 %");
  progress.stop_ratio = 0.2;
  EXPECT_EQ(next_step(progress).feed, 10) << "as many as may fail";
  progress = of(100, 50, 0, 9);
  progress.canary = 5;
  EXPECT_EQ(next_step(progress).feed, 50) << "the canary is over";
  progress = of(3, 3, 0, 3);
  progress.canary = 5;
  EXPECT_TRUE(next_step(progress).finished) << "it was all there is";
}

TEST(ReplayPace, StopsWhenMoreFailThanMayButNotForTheFirstFew) {
  auto progress = of(100, 9, 0, 9);
  progress.stop_ratio = 0.5;
  EXPECT_EQ(next_step(progress).feed, 10) << "and no more at once than tell something";
  progress.in_flight = 9;
  EXPECT_EQ(next_step(progress).feed, 1);
  progress = of(1000, 60, 20, 1);
  progress.stop_ratio = 0.5;
  EXPECT_EQ(next_step(progress).feed, 30);
  progress.rate = 400;
  progress.credit = 1;
  EXPECT_EQ(next_step(progress).feed, 380) << "a rate is kept";
  progress = of(100, 20, 8, 6);
  progress.stop_ratio = 0.5;
  EXPECT_EQ(next_step(progress).stop, "") << "half of the twelve that ended";
  progress.failed = 7;
  EXPECT_EQ(next_step(progress).stop, "7 of 12 failed, more than 50 %");
  progress = of(20, 20, 0, 20);
  progress.stop_ratio = 0.5;
  EXPECT_TRUE(next_step(progress).finished) << "there is nothing left to stop";
}

TEST(DeadLetterNotice, FollowsUnderTheIdOfItsLetterOnceForEachAction) {
  FramedHash hash;
  const DeadLetterNotice replayed{17, 3, 1, "dlq", "replayed", "processed"};
  const auto event = notice_event(replayed, "g", "k", "payments/0/5", hash);
  const auto header = [&](const std::string& name) {
    for (const auto& h : event.headers)
      if (h.name == name) return std::string(h.value.view());
    return std::string("(none)");
  };
  EXPECT_EQ(event.topic, "dlq");
  EXPECT_EQ(event.key.view(), "k");
  EXPECT_EQ(event.value.view(), R"({"dlq_id":17,"status":"replayed","action_id":3,"outcome":"processed"})");
  EXPECT_EQ(header("deja-dlq-status"), "replayed");
  EXPECT_EQ(header("deja-dlq-id"), "17");
  EXPECT_EQ(header("deja-dlq-replays"), "1");
  EXPECT_EQ(header("deja-source"), "payments/0/5");
  EXPECT_EQ(header("deja-event-id"), to_text(event.id));
  EXPECT_EQ(notice_event(replayed, "g", "k", "payments/0/5", hash).id, event.id) << "written again, it is the same";
  auto later = replayed;
  later.action = 4;
  EXPECT_NE(notice_event(later, "g", "k", "payments/0/5", hash).id, event.id);
  EXPECT_FALSE(notice_event(replayed, "g", std::string(longest_notice_key + 1, 'k'), "payments/0/5", hash).key.has_value());
}

}  // namespace
}  // namespace deja::core
