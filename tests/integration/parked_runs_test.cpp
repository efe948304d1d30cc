#include <gtest/gtest.h>

#include "postgres/transaction_control.h"
#include "support/lane_rig.h"

// Which rows run together with a head, and what a drain finds of them once it has its lane (R5, D1).

namespace deja::test {
namespace {

using Ids = std::vector<std::int64_t>;

class ParkedRuns : public ::testing::Test {
 protected:
  ParkedRuns() {
    sql("insert into deja.lanes (group_id, topic, partition, lane, next_offset) values ('g', 't', 0, 0, 100)");
    for (const int offset : {3, 5, 9}) ids_.push_back(park(offset, "7", offset == 3));
    ids_.push_back(park(8, "null", true));
    ids_.push_back(park(4, "-8", true));
    ids_.push_back(park(6, "-8", false));
  }
  void sql(const std::string& text) { connection_.exec("begin read write; " + text + "; commit"); }
  std::int64_t park(int offset, const std::string& ordering, bool head, const std::string& incarnation = "incarnation") {
    sql("insert into deja.parked (group_id, handler, lane, topic, partition, \"offset\", incarnation, ordering, headers, record_timestamp, size, next_at, build) "
        "select group_id, 'h', id, topic, partition, " + std::to_string(offset) + ", " + incarnation + ", " + ordering + ", '[]', 0, 10, " +
        (head ? "now()" : "null") + ", 'b' from deja.lanes");
    return connection_.exec("select max(id) from deja.parked")[0][0].as<std::int64_t>();
  }
  Ids offsets(const Ids& heads, std::size_t behind, std::size_t bytes) {
    Ids found;
    for (const auto& row : store_.read_runs(connection_, 1, heads, behind, bytes)) found.push_back(row.record.view.offset);
    return found;
  }
  /// The offsets of those that may run.
  Ids look(const Ids& picked) {
    const auto found = store_.look(connection_, 1, picked, true);
    Ids there;
    for (const auto& row : store_.read(connection_, 1, picked))
      if (found.contains(row.id)) there.push_back(row.record.view.offset);
    return there;
  }

  const RigDatabase database_{"select 1"};
  postgres::Connection connection_{{.url = database_.url(), .what = "test"}};
  const postgres::ParkedStore store_{"deja", "g", "b"};
  Ids ids_;  // of offsets 3, 5, 9 (one ordering key), 8 (none), 4, 6 (one)
};

TEST_F(ParkedRuns, HeadsComeWithWhatIsBehindThemInOrder) {
  EXPECT_EQ(offsets({ids_[4], ids_[3], ids_[0]}, 100, 1000), (Ids{4, 6, 8, 3, 5, 9}));
  EXPECT_EQ(offsets({ids_[4], ids_[3], ids_[0]}, 1, 1000), (Ids{4, 6, 8, 3, 5}));
  EXPECT_EQ(offsets({ids_[4], ids_[3], ids_[0]}, 100, 45), (Ids{4, 6, 8, 3})) << "in bytes, heads first";
  EXPECT_EQ(offsets({ids_[0], 999}, 0, 1000), (Ids{3})) << "one that is gone";
}

TEST_F(ParkedRuns, R5_RecordsOfALogBeforeComeFirst) {
  park(50, "7", false, "'00000000-0000-0000-0000-000000000001'");
  sql("update deja.parked set next_at = case when \"offset\" = 50 then now() end where ordering = 7");
  EXPECT_EQ(offsets({connection_.exec("select id from deja.parked where \"offset\" = 50")[0][0].as<std::int64_t>()}, 100, 1000), (Ids{50, 3, 5, 9}));
}

TEST_F(ParkedRuns, NothingRunsBehindOneThatAnOperatorWantsSomethingOf) {
  sql("update deja.parked set wanted = 'discard' where \"offset\" = 3");
  EXPECT_EQ(offsets({ids_[0]}, 100, 1000), (Ids{3}));
}

TEST_F(ParkedRuns, ARowThatIsPickedForItselfIsInNoRun) {
  sql("update deja.parked set wanted = 'discard' where \"offset\" = 9");
  EXPECT_EQ(offsets({ids_[0], ids_[2], ids_[4]}, 100, 1000), (Ids{3, 9, 4, 6}));
}

TEST_F(ParkedRuns, D1_ADrainFindsThemAsTheyWerePicked) { EXPECT_EQ(look(ids_), (Ids{3, 5, 9, 8, 4, 6})); }

TEST_F(ParkedRuns, D1_ARunEndsBeforeARowThatWasNotPicked) {
  park(4, "7", false, "'ffffffff-ffff-ffff-ffff-ffffffffffff'");  // of a log before: before all of them
  EXPECT_EQ(look({ids_[0], ids_[1], ids_[2]}), (Ids{3})) << "it is still marked, and those behind it are not in their turn";
}

TEST_F(ParkedRuns, D1_ARunEndsWhereAReplayedRecordCameBetween) {
  sql("update deja.parked set \"offset\" = 2 where \"offset\" = 3");
  park(3, "7", false);
  EXPECT_EQ(look({ids_[0], ids_[1], ids_[2]}), (Ids{2}));
}

TEST_F(ParkedRuns, D1_ARunWhoseHeadIsNoneAnyMoreIsLeftAlone) {
  park(1, "7", true);
  sql("update deja.parked set next_at = null where \"offset\" = 3");
  EXPECT_EQ(look({ids_[0], ids_[1], ids_[2]}), (Ids{}));
}

TEST_F(ParkedRuns, D1_ARunEndsBeforeADeadLetterThatHolds) {
  sql("insert into deja.dead_letters (group_id, handler, lane, topic, partition, \"offset\", incarnation, ordering, headers, record_timestamp, cause, stage, error, fingerprint, build, attempts, size) "
      "select group_id, 'h', id, topic, partition, 7, incarnation, 7, '[]', 0, 'operator', 'operator', '', 'f', 'b', 1, 10 from deja.lanes");
  EXPECT_EQ(look({ids_[0], ids_[1], ids_[2]}), (Ids{3, 5, 9})) << "dlq.order = continue";
  sql("update deja.lanes set holds = true");
  EXPECT_EQ(look({ids_[0], ids_[1], ids_[2]}), (Ids{3, 5}));
}

TEST_F(ParkedRuns, R1_AnUncleanEndMakesSuspectsOfWhatMayHaveRun) {
  sql("update deja.parked set next_at = now() + interval '1 hour' where \"offset\" = 4");
  postgres::LaneState lane;
  lane.id = 1;
  lane.token = connection_.exec("update deja.lanes set owner_token = gen_random_uuid() returning owner_token")[0][0].c_str();
  ASSERT_TRUE(store_.mark_suspects(connection_, lane));
  EXPECT_EQ(database_.value("select string_agg(\"offset\"::text, ' ' order by \"offset\") from deja.parked where suspect"), "3 5 8 9") << "4 was not due, and so 6 was not under way";
}

}  // namespace
}  // namespace deja::test
