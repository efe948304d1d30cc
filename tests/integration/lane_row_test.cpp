#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "postgres/connection.h"
#include "postgres/errors.h"
#include "postgres/lane_store.h"
#include "postgres/migrations.h"
#include "postgres/outbox_store.h"
#include "testing/scratch_database.h"

// The lane row's rules on a real Postgres, with two owners where it takes two.

namespace deja::postgres {
namespace {

class LaneRow : public ::testing::Test {
 protected:
  LaneRow() {
    Connection c({.url = database_.url()});
    migrate(c, "deja", false);
    lanes_.create(one_, name_, 0);
  }

  LaneAdvance to(std::int64_t offset) const {
    LaneAdvance advance;
    advance.next_offset = offset;
    return advance;
  }
  bool commit_batch(Connection& c, const LaneState& row, std::int64_t offset, std::int64_t events = 0) {
    if (!lanes_.begin(c, row, to(offset))) return false;
    c.exec(lanes_.close_sql(row, events) + "commit");
    return true;
  }

  testing::ScratchDatabase database_;
  Connection one_{{.url = database_.url(), .read_only = true}};
  Connection two_{{.url = database_.url(), .read_only = true}};
  LaneStore lanes_{"deja", "test"};
  const LaneName name_{"g", "t", 0, 0};
};

TEST_F(LaneRow, L1_EveryTransactionRaisesBatchSeqByOneAndMatchesOnlyTheRowAsItWasLeft) {
  auto row = lanes_.take_over(one_, name_).value();
  ASSERT_TRUE(commit_batch(one_, row, 5));
  EXPECT_FALSE(commit_batch(one_, row, 6)) << "batch_seq has moved";
  row.batch_seq += 1;
  EXPECT_FALSE(commit_batch(one_, row, 6)) << "next_offset has moved";
  row.next_offset = 5;
  EXPECT_TRUE(lanes_.mark(one_, row, to(5)));
  row.batch_seq += 1;
  EXPECT_TRUE(commit_batch(one_, row, 6));
  EXPECT_EQ(lanes_.read_locked(one_, row.id).batch_seq, row.batch_seq + 1);
}

TEST_F(LaneRow, L2_ALookUnderTheLockWaitsForTheCommitInFlight) {
  const auto row = lanes_.take_over(one_, name_).value();
  ASSERT_TRUE(lanes_.begin(one_, row, to(3)));
  auto settled = std::async(std::launch::async, [&] { return lanes_.read_locked(two_, row.id); });
  // It waits for the row: Postgres says so itself.
  Connection watcher({.url = database_.url()});
  while (watcher.exec("select 1 from pg_stat_activity where pid = " + std::to_string(two_.backend_pid()) + " and wait_event_type = 'Lock'").empty()) {
  }
  one_.exec(lanes_.close_sql(row, 0) + "commit");
  EXPECT_EQ(settled.get().batch_seq, row.batch_seq + 1);
}

TEST_F(LaneRow, L3_ATokenIsDrawnAnewAtEachTakeOverAndFencesTheOwnerBefore) {
  const auto old = lanes_.take_over(one_, name_).value();
  const auto now = lanes_.take_over(two_, name_).value();
  EXPECT_NE(old.token, now.token);
  EXPECT_EQ(now.owner_epoch, old.owner_epoch + 1);
  EXPECT_FALSE(commit_batch(one_, old, 1));
  EXPECT_TRUE(commit_batch(two_, now, 1));
}

TEST_F(LaneRow, ATakeOverSeesWhetherTheOwnerBeforeHandedOverInOrder) {
  auto row = lanes_.take_over(one_, name_).value();
  EXPECT_TRUE(row.was_clean) << "nobody was before";
  row = lanes_.take_over(one_, name_).value();
  EXPECT_FALSE(row.was_clean);
  auto clean = to(0);
  clean.clean = true;
  ASSERT_TRUE(lanes_.mark(one_, row, clean));
  EXPECT_TRUE(lanes_.take_over(two_, name_).value().was_clean);
}

TEST_F(LaneRow, L8_WhereATopicStartsIsDecidedOnceForAllPartitions) {
  const LaneName other{"g", "u", 0, 0};
  EXPECT_FALSE(lanes_.any_row_of_topic(one_, other));
  lanes_.create_all(one_, "g", "u", {7, 8, 9});
  lanes_.create_all(two_, "g", "u", {100, 100, 100, 100});
  EXPECT_EQ(lanes_.take_over(one_, {"g", "u", 2, 0})->next_offset, 9);
  EXPECT_FALSE(lanes_.take_over(one_, {"g", "u", 3, 0}));
}

TEST_F(LaneRow, R1_AfterAnOwnerThatDidNotHandOverTheNextRecordsAreSuspects) {
  auto row = lanes_.take_over(one_, name_, {}, 50).value();
  EXPECT_EQ(row.suspects.records, 0) << "nobody was before";
  ASSERT_TRUE(commit_batch(one_, row, 10));
  row = lanes_.take_over(two_, name_, {}, 50).value();
  EXPECT_EQ(row.suspects.records, 50);
  auto some = to(100);  // far on in the log, which the lane shares with others
  some.records = 20;
  ASSERT_TRUE(lanes_.begin(two_, row, some));
  two_.exec(lanes_.close_sql(row, 0) + "commit");
  row.batch_seq += 1;
  row.next_offset = 100;
  auto handed_over = to(200);
  handed_over.clean = true;
  ASSERT_TRUE(lanes_.mark(two_, row, handed_over));
  row = lanes_.take_over(one_, name_, {}, 5000).value();
  EXPECT_EQ(row.suspects.records, 30) << "what is left of them; no more after an owner that handed over";
}

TEST_F(LaneRow, R1_AStartIsTheOwnersToWriteAndMayBeWrittenAgain) {
  const auto old = lanes_.take_over(one_, name_, {}, 50).value();
  EXPECT_TRUE(lanes_.note_start(one_, old, 7, 1));
  EXPECT_TRUE(lanes_.note_start(one_, old, 7, 1)) << "its reply was lost";
  const auto now = lanes_.take_over(two_, name_, {}, 50).value();
  EXPECT_EQ(now.suspects.from, 7);
  EXPECT_EQ(now.suspects.starts, 1);
  EXPECT_FALSE(lanes_.note_start(one_, old, 7, 2)) << "fenced";
  EXPECT_TRUE(commit_batch(two_, now, 1)) << "a start leaves batch_seq as it is";
}

TEST_F(LaneRow, B2_AnOpenLaneCannotBeCommitted) {
  const auto row = lanes_.take_over(one_, name_).value();
  ASSERT_TRUE(lanes_.begin(one_, row, to(1)));
  try {
    one_.exec("commit");
    FAIL() << "the commit went through";
  } catch (const std::exception& e) {
    EXPECT_NE(classify(e).message.find("deja commits the batch"), std::string::npos);
  }
  EXPECT_EQ(lanes_.read_locked(one_, row.id).next_offset, 0);
}

TEST_F(LaneRow, B2_AfterALostTransactionBlockTheSessionWritesNothing) {
  const auto row = lanes_.take_over(one_, name_).value();
  ASSERT_TRUE(lanes_.begin(one_, row, to(1)));
  one_.exec("rollback");
  EXPECT_ANY_THROW(one_.exec(lanes_.close_sql(row, 0)));
}

TEST_F(LaneRow, B2_WhatAHandlerSetForTheTransactionDoesNotMakeTheCommitLessDurable) {
  const auto row = lanes_.take_over(one_, name_).value();
  ASSERT_TRUE(lanes_.begin(one_, row, to(1)));
  one_.exec("set local synchronous_commit = off");
  one_.exec(lanes_.close_sql(row, 0));
  EXPECT_STREQ(one_.exec("show synchronous_commit")[0][0].c_str(), "on");
  one_.exec("commit");
}

TEST_F(LaneRow, O3_ASegmentWithAnUnpublishedOrALateEventIsNotTruncated) {
  OutboxStore outbox("deja");
  core::OutboundEvent event;
  event.topic = "out";
  auto row = lanes_.take_over(one_, name_).value();
  const auto start = lanes_.begin(one_, row, to(1)).value();
  one_.exec(outbox.insert_sql(one_, start.open_segment, row.id, 1, {event}) + lanes_.close_sql(row, 1) + "commit");
  EXPECT_FALSE(outbox.truncate(two_, start.open_segment)) << "still open";
  ASSERT_TRUE(outbox.rotate(two_, 1));
  EXPECT_FALSE(outbox.truncate(two_, start.open_segment)) << "not published";
  row.batch_seq += 1;
  row.next_offset = 1;
  auto published = to(1);
  published.published_seq = 1;
  ASSERT_TRUE(lanes_.mark(one_, row, published));
  row.batch_seq += 1;
  // a late writer that had read the old segment's number
  ASSERT_TRUE(lanes_.begin(one_, row, to(2)));
  one_.exec(outbox.insert_sql(one_, start.open_segment, row.id, 2, {event}));
  EXPECT_ANY_THROW(outbox.truncate(two_, start.open_segment)) << "the lock is not to be had";
  one_.exec(lanes_.close_sql(row, 1) + "commit");
  EXPECT_FALSE(outbox.truncate(two_, start.open_segment)) << "the late event is not published";
  row.batch_seq += 1;
  row.next_offset = 2;
  published = to(2);
  published.published_seq = 2;
  ASSERT_TRUE(lanes_.mark(one_, row, published));
  EXPECT_TRUE(outbox.truncate(two_, start.open_segment));
  EXPECT_EQ(outbox.read(one_, row.id, 0, 100, 10).size(), 0U);
}

core::LaneMap lanes_by_key(std::int32_t lanes) { return {lanes, 1, "record key"}; }

TEST_F(LaneRow, L5_ADrainedPartitionIsWorkedInAnotherNumberOfLanesAndBack) {
  auto row = lanes_.take_over(one_, name_).value();
  ASSERT_TRUE(commit_batch(one_, row, 7));
  for (std::int32_t lane = 0; lane < 3; ++lane) {
    const auto taken = lanes_.take_over(one_, {"g", "t", 0, lane}, lanes_by_key(3));
    ASSERT_TRUE(taken);
    EXPECT_EQ(taken->next_offset, 7);
    EXPECT_EQ(taken->incarnation, row.incarnation);
  }
  EXPECT_EQ(lanes_.take_over(one_, name_)->next_offset, 7);
  const auto counts = one_.exec("select distinct lane_count from deja.lanes");
  ASSERT_EQ(counts.size(), 1);
  EXPECT_EQ(counts[0][0].as<int>(), 1);
}

TEST_F(LaneRow, L5_R4_OrdersForALaneHoldForAllLanesOfANewMap) {
  ASSERT_TRUE(lanes_.take_over(one_, {"g", "t", 0, 0}, lanes_by_key(2)));
  one_.exec("begin read write; update deja.lanes set pause_reason = 'a ticket', dead_letter_at = 9, dead_letter_reason = 'another' where lane = 1; commit");
  for (const auto lanes : {3, 1})
    for (std::int32_t lane = 0; lane < lanes; ++lane) {
      const auto taken = lanes_.take_over(one_, {"g", "t", 0, lane}, lanes_by_key(lanes)).value();
      EXPECT_EQ(taken.pause_reason, "a ticket");
      EXPECT_EQ(taken.dead_letter_at, 9);
      EXPECT_EQ(taken.dead_letter_reason, "another");
    }
}

TEST_F(LaneRow, L5_AnOwnerByTheOldMapIsFenced) {
  const auto old = lanes_.take_over(one_, name_).value();
  ASSERT_TRUE(lanes_.take_over(two_, {"g", "t", 0, 1}, lanes_by_key(2)));
  EXPECT_FALSE(commit_batch(one_, old, 5));
}

TEST_F(LaneRow, L5_LanesAtDifferentOffsetsAreNotCountedAnew) {
  const auto row = lanes_.take_over(one_, {"g", "t", 0, 0}, lanes_by_key(2)).value();
  ASSERT_TRUE(commit_batch(one_, row, 5));
  for (const auto lanes : {1, 3}) {
    try {
      lanes_.take_over(one_, name_, lanes_by_key(lanes));
      FAIL() << "a record could map to a lane that is past it";
    } catch (const LaneMapRefused& refused) {
      EXPECT_THAT(refused.what(), ::testing::HasSubstr("t/0 is worked in 2 lanes"));
      EXPECT_THAT(refused.what(), ::testing::HasSubstr("different offsets (5, 0)"));
      EXPECT_THAT(refused.what(), ::testing::HasSubstr("lanes.per.partition = 2"));
    }
  }
  EXPECT_TRUE(lanes_.take_over(one_, name_, lanes_by_key(2)));
}

TEST_F(LaneRow, L5_AChangedOrderingCountsOnlyWithSeveralLanes) {
  ASSERT_TRUE(lanes_.take_over(one_, name_, {1, 1, "key function"}));
  const auto row = lanes_.take_over(one_, {"g", "t", 0, 0}, lanes_by_key(2)).value();
  ASSERT_TRUE(commit_batch(one_, row, 5));
  EXPECT_THROW(lanes_.take_over(one_, name_, {2, 1, "key function"}), LaneMapRefused);
  EXPECT_THROW(lanes_.take_over(one_, name_, {2, 2, "record key"}), LaneMapRefused);
}

TEST_F(LaneRow, L5_UnpublishedEventsKeepTheirLane) {
  const auto row = lanes_.take_over(one_, name_).value();
  ASSERT_TRUE(commit_batch(one_, row, 5, 2));
  try {
    lanes_.take_over(one_, name_, lanes_by_key(2));
    FAIL() << "events of a key could overtake each other";
  } catch (const LaneMapRefused& refused) {
    EXPECT_THAT(refused.what(), ::testing::HasSubstr("lane 0 has 2 unpublished events"));
  }
}

TEST_F(LaneRow, L7_IdleLanesMoveOnAllInOneStatementAndOnlyAsTheirOwnerLeftThem) {
  const auto map = lanes_by_key(3);
  std::vector<LaneStore::IdleLane> idle;
  for (std::int32_t lane = 0; lane < 3; ++lane)
    idle.push_back({lanes_.take_over(one_, {"g", "t", 0, lane}, map).value(), 40, Witness{38, -1, 1000, "12345678"}});
  ASSERT_TRUE(commit_batch(one_, idle[1].row, 5));                         // moved meanwhile
  ASSERT_TRUE(lanes_.begin(two_, idle[2].row, to(6)));                     // a batch is under way
  EXPECT_EQ(lanes_.advance_idle(one_, idle), std::vector<std::int32_t>{idle[0].row.id});
  two_.exec("rollback");
  const auto moved = lanes_.read_locked(one_, idle[0].row.id);
  EXPECT_EQ(moved.next_offset, 40);
  EXPECT_EQ(moved.batch_seq, idle[0].row.batch_seq + 1);
  ASSERT_TRUE(moved.witness);
  EXPECT_EQ(moved.witness->offset, 38);
  EXPECT_EQ(moved.witness->digest, "12345678");
  EXPECT_EQ(lanes_.read_locked(one_, idle[1].row.id).next_offset, 5);
  EXPECT_EQ(lanes_.read_locked(one_, idle[2].row.id).next_offset, 0);
}

TEST_F(LaneRow, L10_OnlyASessionOfDejasOwnThatSitsIdleInItsTransactionIsEnded) {
  Connection other({.url = database_.url(), .what = "somebody else"});
  const auto row = lanes_.take_over(one_, name_).value();
  const std::chrono::milliseconds none{0};
  EXPECT_EQ(lanes_.end_idle_holder(two_, name_, none), 0);  // nobody holds it
  other.exec("begin read write; select 1 from deja.lanes for update");
  EXPECT_EQ(lanes_.end_idle_holder(two_, name_, none), 0);
  other.exec("rollback");
  ASSERT_TRUE(lanes_.begin(one_, row, to(5)));
  EXPECT_EQ(lanes_.end_idle_holder(two_, name_, std::chrono::hours(1)), 0);  // not for so long
  other.exec("select pg_advisory_lock(1)");
  auto working = std::async(std::launch::async, [&] { one_.exec("select pg_advisory_xact_lock(1)"); });
  while (two_.exec("select 1 from pg_stat_activity where pid = " + std::to_string(one_.backend_pid()) + " and state = 'active'").empty()) {
  }
  EXPECT_EQ(lanes_.end_idle_holder(two_, name_, none), 0);  // it works
  other.exec("select pg_advisory_unlock(1)");
  working.get();
  EXPECT_EQ(lanes_.end_idle_holder(two_, name_, none), one_.backend_pid());
  EXPECT_TRUE(lanes_.take_over(two_, name_));
  EXPECT_THROW(one_.exec("commit"), std::exception);
}

}  // namespace
}  // namespace deja::postgres
