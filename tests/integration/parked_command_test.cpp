#include "cli_support.h"

#include <future>
#include <thread>

// `deja parked` as an operator types it; where a program has to do something, the test does what its owner would.

namespace deja {
namespace {

class Parked : public Cli {
 protected:
  void SetUp() override {
    Cli::SetUp();
    if (IsSkipped()) return;
    migrate();
    sql("insert into deja.lanes (group_id, topic, partition, lane, next_offset) values ('g', 't', 0, 0, 100), ('g', 'other', 0, 0, 100)");
    park(1, 3, "7", true);
    park(1, 5, "7", false);
    park(1, 8, "null", true);
    park(2, 4, "7", true);
  }
  void park(int lane, int offset, const std::string& ordering, bool head) {
    sql("insert into deja.parked (group_id, handler, lane, topic, partition, \"offset\", incarnation, ordering, record_key, headers, record_timestamp, size, idempotency_key, attempt, "
        "next_at, cause, error, build) select group_id, 'h', id, topic, partition, " + std::to_string(offset) + ", incarnation, " + ordering + ", 'k', '[]', 0, 9, 'i" +
        std::to_string(offset) + "', " + (head ? "1, now() + interval '1 hour', 'exhausted', 'boom'" : "0, null, null, null") + ", 'b' from deja.lanes where id = " + std::to_string(lane));
  }
  Result parked(const std::string& arguments) { return deja("parked " + arguments + " --group g --output json < /dev/null"); }
  Result change(const std::string& arguments) { return parked(arguments + " --reason 'a test' --yes"); }
  std::string due() { return ask("select string_agg(id::text, ' ' order by id) from deja.parked where next_at <= clock_timestamp()"); }
  std::string versions() { return ask("select string_agg(parked_version::text, ' ' order by id) from deja.lanes"); }
  // As the owner does it, when `id` is wanted.
  void obey(int id, bool leaves_a_letter = true) {
    while (ask("select wanted from deja.parked where id = " + std::to_string(id)) == "null") std::this_thread::yield();
    const std::string letter =
        "insert into deja.dead_letters (group_id, handler, lane, topic, partition, \"offset\", incarnation, headers, record_timestamp, cause, stage, error, fingerprint, build, attempts, size, status) "
        "select group_id, handler, lane, topic, partition, \"offset\", incarnation, headers, 0, 'operator', 'operator', wanted_reason, 'f', 'b', attempt, size, "
        "case wanted when 'discard' then 'discarded' else 'open' end from deja.parked where id = " + std::to_string(id) + ";";
    sql((leaves_a_letter ? letter : "") + "delete from deja.parked where id = " + std::to_string(id));
  }
};

TEST_F(Parked, ListShowsHeadsAndWhatWaitsBehindThem) {
  const auto rows = parked("list").rows();
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[0]["offset"], 3);
  EXPECT_EQ(rows[0]["record_key"], "k");
  EXPECT_EQ(rows[0]["idempotency_key"], "i3");
  EXPECT_EQ(rows[0]["cause"], "exhausted");
  EXPECT_THAT(rows[0]["next_at"].get<std::string>(), ::testing::EndsWith("Z"));
  EXPECT_TRUE(rows[0]["behind"].is_null());
  EXPECT_EQ(rows[1]["behind"], 3);
  EXPECT_TRUE(rows[1]["next_at"].is_null());
  EXPECT_TRUE(rows[2]["behind"].is_null());
  EXPECT_EQ(parked("list --topic other").rows().size(), 1u);
  EXPECT_EQ(parked("list --filter 'behind=3 or offset>7'").rows().size(), 2u);
  EXPECT_EQ(deja("parked list --group nobody --output json").out, "");
  EXPECT_THAT(deja("parked list").out, HasSubstr("boom"));
}

TEST_F(Parked, D1_RetryMakesRecordsDueAndRaisesTheVersionOfTheirLanes) {
  const auto one = change("retry 3");
  ASSERT_EQ(one.code, 0) << one.err;
  EXPECT_EQ(one.rows().at(0)["outcome"], "due");
  EXPECT_EQ(due(), "3");
  EXPECT_EQ(versions(), "1 0");
  EXPECT_EQ(ask("select action, group_id, reason, detail->>'records' from deja.audit_log"), R"(parked retry,g,a test,[{"id":3,"offset":8}])");
  const auto all = change("retry --all --expect 3");
  ASSERT_EQ(all.code, 0) << all.err;
  EXPECT_EQ(all.rows().size(), 3u) << "what waits behind another one follows by itself";
  EXPECT_THAT(all.err, HasSubstr("1 more wait"));
  EXPECT_EQ(due(), "1 3 4");
  EXPECT_EQ(versions(), "2 1");
}

TEST_F(Parked, WhatWaitsBehindAnotherOneIsNotRetriedAndThatOneIsNamed) {
  for (const auto* which : {"2", "1 2", "--filter offset=5 --expect 1"}) {
    const auto refused = change(std::string("retry ") + which);
    EXPECT_EQ(refused.code, 65) << which;
    EXPECT_THAT(refused.last_error(), HasSubstr("waits behind offset 3"));
  }
  EXPECT_EQ(due(), "null");
  EXPECT_EQ(versions(), "0 0");
}

TEST_F(Parked, ChangesWantIdsAFilterOrAllAndSomebodyWhoMeansIt) {
  const auto refused = [&](const std::string& arguments, int code, const std::string& words) {
    for (const auto* what : {"retry", "dead-letter", "discard"}) {
      const auto result = parked(what + (" " + arguments));
      EXPECT_EQ(result.code, code) << what << " " << arguments << result.err;
      EXPECT_THAT(result.last_error(), HasSubstr(words)) << what << " " << arguments;
    }
  };
  refused("1 --yes", 64, "--reason");
  refused("1 --reason r", 64, "--yes");
  refused("--reason r --yes", 64, "one of the three");
  refused("1 --all --reason r --yes", 64, "one of the three");
  refused("--all --filter id=1 --reason r --yes", 64, "one of the three");
  refused("--filter nix=1 --reason r --yes", 64, "nix");
  refused("--filter topic=other --reason r --yes --expect 2", 65, "1 records, not 2");
  refused("--filter topic=nowhere --reason r --yes --expect 1", 65, "no parked record fits");
  refused("1 99 --reason r --yes", 65, "no parked record 99");
  EXPECT_EQ(deja("parked retry --all --reason r --yes --expect 3").code, 64) << "of which group";
  EXPECT_EQ(deja("parked retry 1 --group nobody --reason r --yes").code, 65);
  EXPECT_EQ(ask("select count(*) from deja.audit_log"), "0");
  EXPECT_EQ(ask("select count(*) from deja.parked where wanted is null"), "4");
  EXPECT_EQ(versions(), "0 0");
}

TEST_F(Parked, DeadLetterAndDiscardWaitForTheOwnerAndSayWhatBecameOfEachRecord) {
  auto owner = std::async(std::launch::async, [&] { obey(2); });
  const auto dead = change("dead-letter 2");
  owner.get();
  ASSERT_EQ(dead.code, 0) << dead.err;
  EXPECT_EQ(dead.rows().at(0)["outcome"], "dead");
  EXPECT_EQ(dead.rows().at(0)["dlq_id"], 1);
  EXPECT_EQ(ask("select error from deja.dead_letters"), "a test");
  owner = std::async(std::launch::async, [&] { obey(3), obey(4, false); });
  const auto both = change("discard 3 4");
  owner.get();
  EXPECT_EQ(both.code, 1) << "of one of them there was another outcome first";
  EXPECT_EQ(both.rows().at(0)["outcome"], "discarded");
  EXPECT_EQ(both.rows().at(0)["dlq_id"], 2);
  EXPECT_EQ(both.rows().at(1)["outcome"], "gone");
  EXPECT_THAT(both.last_error(), HasSubstr("another outcome"));
  EXPECT_EQ(versions(), "2 1");
}

TEST_F(Parked, WhatNoProgramDoesIsNotYetDoneAndTheLastWordCounts) {
  const auto result = change("dead-letter 3");
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.err, HasSubstr("not yet"));
  EXPECT_EQ(result.rows().at(0)["outcome"], "wanted");
  EXPECT_TRUE(result.rows().at(0)["dlq_id"].is_null());
  EXPECT_EQ(parked("list --filter offset=8").rows().at(0)["wanted"], "dead-letter");
  EXPECT_EQ(change("retry 3").code, 0);
  EXPECT_TRUE(parked("list --filter offset=8").rows().at(0)["wanted"].is_null());
}

TEST_F(Parked, LanesCountsThem) {
  const auto rows = deja("lanes --group g --output json").rows();
  EXPECT_EQ(rows.at(0)["topic"], "other");
  EXPECT_EQ(rows.at(0)["parked"], 1);
  EXPECT_EQ(rows.at(1)["parked"], 3);
}

}  // namespace
}  // namespace deja
