#include "cli_support.h"

#include "kafka/admin.h"
#include "kafka/group_offsets.h"

// `deja lanes reset` and `deja lanes accept-loss` as an operator types them, while no program runs.

namespace deja {
namespace {

constexpr const char* position = "select partition, lane, next_offset, reread_until, batch_seq, owner_token is null, witness_digest is null, paused_cause from deja.lanes "
                                 "order by partition, lane";

class Lanes : public Cli {
 protected:
  void SetUp() override {
    Cli::SetUp();
    if (IsSkipped()) return;
    migrate();
    topic_ = topic("moved") + std::to_string(round++);
    group_ = "g" + topic_;
    // ten records in the topic's one partition
    std::string lines;
    for (int i = 0; i < 10; ++i) lines += "{\"key\":\"k\",\"value\":\"" + std::to_string(i) + "\",\"partition\":0}\n";
    write("ten", lines);
    ASSERT_EQ(deja("send " + topic_ + " --file ten").code, 0);
  }

  // As a program leaves it that has read up to `next_offset`.
  void lane(std::int64_t next_offset, int number = 0, int count = 1) {
    sql("insert into deja.lanes (group_id, topic, partition, lane, lane_count, next_offset, owner_token, batch_seq, witness_offset, witness_timestamp, witness_digest, paused_cause) "
        "values ('" + group_ + "', '" + topic_ + "', 0, " + std::to_string(number) + ", " + std::to_string(count) + ", " + std::to_string(next_offset) +
        ", gen_random_uuid(), 5, 1, 1, '\\x00', 'some cause')");
  }
  void recipe(const std::string& strategy) {
    sql("insert into deja.recipes values ('" + group_ + "', '" + topic_ + "', 'h', 's', '" + strategy + "', '', '')");
  }
  void dead_letter(int offset) {
    sql("insert into deja.dead_letters (group_id, handler, lane, topic, partition, \"offset\", incarnation, headers, record_timestamp, cause, stage, error, fingerprint, build, "
        "attempts, size) select group_id, 'h', id, topic, partition, " + std::to_string(offset) + ", incarnation, '[]', 0, 'rejected', 'handler', 'e', 'f', 'b', 1, 1 "
        "from deja.lanes where lane = 0 and group_id = '" + group_ + "'");
  }
  void park(int offset) {
    sql("insert into deja.parked (group_id, handler, lane, topic, partition, \"offset\", incarnation, headers, record_timestamp, size, build) "
        "select group_id, 'h', id, topic, partition, " + std::to_string(offset) + ", incarnation, '[]', 0, 1, 'b' from deja.lanes where lane = 0 and group_id = '" + group_ + "'");
  }
  Result lanes(const std::string& arguments) { return deja("lanes " + arguments + " --topic " + topic_ + " --group " + group_ + " --output json < /dev/null"); }
  Result reset(const std::string& arguments) { return lanes("reset --reason 'a test' --yes " + arguments); }
  Result accept_loss(const std::string& arguments = "") { return lanes("accept-loss --partition 0 --reason 'a test' --yes " + arguments); }
  std::string audit() { return ask("select action, group_id, reason, detail->>'to' from deja.audit_log order by id"); }

  std::string topic_, group_;
  static inline int round = 0;
};

TEST_F(Lanes, ResetMovesTheRowTheOffsetInKafkaAndWritesTheAuditLog) {
  lane(8);
  const auto result = reset("--to-offset 3 --expect 5");
  ASSERT_EQ(result.code, 0) << result.err;
  const auto row = result.rows().at(0);
  EXPECT_EQ(row["topic"], topic_);
  EXPECT_EQ(row["partition"], 0);
  EXPECT_EQ(row["lane"], 0);
  EXPECT_EQ(row["from"], 8);
  EXPECT_EQ(row["to"], 3);
  EXPECT_EQ(row["records"], 5);
  EXPECT_EQ(ask(position), "0,0,3,8,6,t,t,null");
  EXPECT_EQ(audit(), "lanes reset," + group_ + ",a test,3");
  EXPECT_EQ(ask("select detail->'lanes'->0->>'from', detail->>'records', who = session_user from deja.audit_log"), "8,5,t");

  kafka::Admin kafka({{"bootstrap.servers", std::getenv("DEJA_KAFKA")}}, group_, std::chrono::milliseconds(20'000));
  const auto committed = kafka.group_offsets({{topic_, 0}});
  ASSERT_EQ(committed.size(), 1u) << result.err;
  EXPECT_EQ(committed.begin()->second.offset, 3);
  EXPECT_EQ(committed.begin()->second.metadata, "deja/reset");
  EXPECT_THAT(result.err, HasSubstr("not running"));
}

TEST_F(Lanes, ResetKnowsKafkasWaysToSayWhere) {
  lane(8);
  const auto to = [&](const std::string& where) {
    const auto result = reset(where + " --dry-run");
    return result.code == 0 ? result.rows().at(0)["to"].get<int>() : -result.code;
  };
  EXPECT_EQ(to("--to-earliest"), 0);
  EXPECT_EQ(to("--to-latest"), 10);
  EXPECT_EQ(to("--to-offset 10"), 10);
  EXPECT_EQ(to("--shift-by -5"), 3);
  EXPECT_EQ(to("--shift-by 2"), 10);
  EXPECT_EQ(to("--to-datetime 2020-01-01T00:00:00Z"), 0);
  EXPECT_EQ(to("--to-datetime 2999-01-01"), 10);
  EXPECT_EQ(to("--to-datetime yesterday"), -64);
  EXPECT_EQ(to("--to-latest --to-earliest"), -64);
  EXPECT_EQ(to(""), -64);
  EXPECT_EQ(to("--to-earliest --filter partition=1"), -64) << "it would not select what is moved";
}

TEST_F(Lanes, ResetRefusesWhatIsOutOfRangeOrNotThereAndNamesTheRange) {
  lane(8);
  for (const auto* where : {"--to-offset 11", "--shift-by 3", "--shift-by -9", "--to-offset -1"}) {
    const auto result = reset(std::string(where) + " --expect 1");
    EXPECT_EQ(result.code, 65) << where;
    EXPECT_THAT(result.last_error(), HasSubstr("from 0 to 10")) << where;
  }
  const auto beyond = reset("--shift-by 9223372036854775807 --expect 1");
  EXPECT_EQ(beyond.code, 64);
  EXPECT_THAT(beyond.last_error(), HasSubstr("--shift-by 9223372036854775807 from offset 8"));
  EXPECT_EQ(reset("--to-earliest --partition 7").code, 65);
  EXPECT_EQ(deja("lanes reset --topic nowhere --to-earliest --group " + group_ + " --dry-run").code, 65);
  EXPECT_EQ(deja("lanes reset --topic " + topic_ + " --to-earliest --group nobody --dry-run").code, 65);
  const auto nobodys = deja("lanes reset --topic " + topic_ + " --to-earliest --dry-run");
  EXPECT_EQ(nobodys.code, 64);
  EXPECT_THAT(nobodys.last_error(), HasSubstr("--group"));
  EXPECT_EQ(ask(position), "0,0,8,0,5,f,f,some cause");
}

TEST_F(Lanes, ResetWithoutATerminalWantsYesAReasonAndTheNumber) {
  lane(8);
  const auto refused = [&](const std::string& arguments, int code, const std::string& words) {
    const auto result = lanes("reset --to-earliest " + arguments);
    EXPECT_EQ(result.code, code) << arguments;
    EXPECT_THAT(result.last_error(), HasSubstr(words)) << arguments;
  };
  refused("--yes --expect 8", 64, "--reason");
  refused("--reason r --expect 8", 64, "--yes");
  refused("--reason r --yes", 64, "--expect 8");
  refused("--reason r --yes --expect 7", 65, "8 records, not 7");
  refused("--reason r --yes --expect 100000", 65, "8 records");
  EXPECT_EQ(ask(position), "0,0,8,0,5,f,f,some cause");
  EXPECT_EQ(ask("select count(*) from deja.audit_log"), "0");
  EXPECT_EQ(lanes("reset --to-earliest --reason r --yes --expect 8").code, 0);
}

TEST_F(Lanes, AGroupThatRunsMayHaveGoneOnSinceTheNumberWasTaken) {
  lane(8);
  sql("update deja.lanes set clean = false");
  EXPECT_EQ(reset("--to-earliest --expect 9").code, 65) << "it does not go back by itself";
  EXPECT_EQ(reset("--to-earliest --expect 6").code, 0);
}

TEST_F(Lanes, D2_ParkedRecordsOfTheRangeAreLeftToTheirRowsAndAreCounted) {
  lane(8);
  for (const int offset : {1, 4, 6}) park(offset);
  dead_letter(5);
  const auto row = reset("--to-offset 3 --expect 5").rows().at(0);
  EXPECT_EQ(row["parked"], 2);
  EXPECT_EQ(row["dead_letters"], 1);
  EXPECT_EQ(row["rerun"], 2);
  EXPECT_EQ(ask("select count(*), min(detail->>'parked') from deja.parked, deja.audit_log"), "3,2");
}

TEST_F(Lanes, AcceptLossKeepsParkedRecords) {
  lane(20);
  park(4);
  ASSERT_EQ(accept_loss().code, 0);
  EXPECT_EQ(ask("select p.\"offset\", p.incarnation = l.incarnation from deja.parked p join deja.lanes l on l.id = p.lane"), "4,f");
}

TEST_F(Lanes, ADryRunChangesNothingAndPrintsTheSame) {
  lane(8);
  dead_letter(4);
  const auto dry = lanes("reset --to-offset 3 --dry-run");
  ASSERT_EQ(dry.code, 0) << dry.err;
  EXPECT_EQ(dry.err, "");
  EXPECT_EQ(ask(position), "0,0,8,0,5,f,f,some cause");
  EXPECT_EQ(ask("select count(*) from deja.audit_log"), "0");
  kafka::Admin kafka({{"bootstrap.servers", std::getenv("DEJA_KAFKA")}}, group_, std::chrono::milliseconds(20'000));
  EXPECT_TRUE(kafka.group_offsets({{topic_, 0}}).empty());
  EXPECT_EQ(reset("--to-offset 3 --expect 5").out, dry.out);
}

TEST_F(Lanes, ResetCountsWhatWouldRunAgain) {
  lane(8);
  recipe("header Idempotency-Key");
  dead_letter(4);
  sql("insert into deja.keys_1 (key, digest, lane, \"offset\") select gen_random_uuid(), 0, l.id, o from deja.lanes l, generate_series(0, 6) o where o <> 4");
  const auto row = lanes("reset --to-offset 2 --dry-run").rows().at(0);
  EXPECT_EQ(row["records"], 6);
  EXPECT_EQ(row["dead_letters"], 1);
  EXPECT_EQ(row["rerun"], 1) << "offset 7, whose key is not known";
  EXPECT_EQ(row["skipped"], 0);
  const auto forward = lanes("reset --to-latest --dry-run").rows().at(0);
  EXPECT_EQ(forward["records"], 0);
  EXPECT_EQ(forward["rerun"], 0);
  EXPECT_EQ(forward["skipped"], 2);
}

TEST_F(Lanes, AHandlerWithoutKeysRepeatsItsEffectsOnlyWhenToldTo) {
  lane(8);
  recipe("offset: it only counts");
  dead_letter(4);
  EXPECT_EQ(lanes("reset --to-earliest --dry-run").rows().at(0)["rerun"], 7);
  const auto refused = reset("--to-earliest --expect 8");
  EXPECT_EQ(refused.code, 65);
  EXPECT_THAT(refused.last_error(), HasSubstr("--rerun-effects"));
  EXPECT_THAT(refused.last_error(), HasSubstr(" 7 records"));
  EXPECT_EQ(ask(position), "0,0,8,0,5,f,f,some cause");
  EXPECT_EQ(reset("--to-latest --expect 2").code, 0) << "forward, nothing runs again";
  EXPECT_EQ(reset("--to-earliest --expect 10 --rerun-effects").code, 0);
}

TEST_F(Lanes, WhatAHandlerDidWhileItHadNoKeysIsRepeatedOnlyWhenToldTo) {
  lane(8);
  recipe("header Idempotency-Key");
  sql("update deja.recipes set previous_handler = 'h', previous_scope = 's', previous_strategy = 'offset: it only counts', previous_tenancy = '', previous_secret_id = ''");
  // the last two came after the change
  sql("insert into deja.keys_1 (key, digest, lane, \"offset\") select gen_random_uuid(), 0, l.id, o from deja.lanes l, generate_series(6, 7) o");
  EXPECT_EQ(lanes("reset --to-earliest --dry-run").rows().at(0)["rerun"], 6);
  const auto refused = reset("--to-earliest --expect 8");
  EXPECT_EQ(refused.code, 65);
  EXPECT_THAT(refused.last_error(), HasSubstr("--rerun-effects"));
  EXPECT_THAT(refused.last_error(), HasSubstr(" 6 records"));
  EXPECT_EQ(ask(position), "0,0,8,0,5,f,f,some cause");
  EXPECT_EQ(reset("--to-offset 6 --expect 2").code, 0) << "these have keys";
  EXPECT_EQ(reset("--to-earliest --expect 6 --rerun-effects").code, 0);
}

TEST_F(Lanes, ARecordWithAKeyOfEitherRecipeIsKnownOnce) {
  lane(8);
  recipe("header Idempotency-Key");
  sql("insert into deja.keys_1 (key, digest, lane, \"offset\") select gen_random_uuid(), 0, l.id, o from deja.lanes l, generate_series(0, 3) o, generate_series(1, 2)");
  EXPECT_EQ(lanes("reset --to-earliest --dry-run").rows().at(0)["rerun"], 4);
}

TEST_F(Lanes, HelpNamesTheFieldsOfTheCommandItself) {
  EXPECT_THAT(deja("lanes reset --help").out, ::testing::AllOf(HasSubstr("rerun, dead_letters"), ::testing::Not(HasSubstr("published_seq"))));
  EXPECT_THAT(deja("lanes accept-loss --help").out, ::testing::AllOf(HasSubstr("lost_until, incarnation"), ::testing::Not(HasSubstr("published_seq"))));
  EXPECT_THAT(deja("lanes --help").out, HasSubstr("published_seq"));
}

TEST_F(Lanes, AReaderThatGoesAwayStopsNoChangeMidway) {
  lane(8);
  kafka::Admin kafka({{"bootstrap.servers", std::getenv("DEJA_KAFKA")}}, group_, std::chrono::milliseconds(20'000));
  const auto common = " --topic " + topic_ + " --group " + group_ + " --partition 0 --reason r --yes --output json < /dev/null 2> said | true; cat said";
  EXPECT_THAT(deja("lanes reset --to-offset 3 --expect 5" + common).out, HasSubstr("not running"));
  EXPECT_EQ(kafka.group_offsets({{topic_, 0}}).begin()->second.offset, 3);
  EXPECT_THAT(deja("lanes accept-loss --to-offset 4" + common).out, HasSubstr("not running"));
  EXPECT_EQ(kafka.group_offsets({{topic_, 0}}).begin()->second.offset, 4);
}

TEST_F(Lanes, DoctorFailsWhereAStartWouldBeRefusedAndNamesTheCommands) {
  lane(3);
  const auto found = [&] {
    const auto result = deja("doctor --output json --group " + group_ + " --filter 'check=offsets or check=log'");
    return std::pair(result.code, result.rows().empty() ? json() : result.rows().at(0));
  };
  const auto committed = [&](std::int64_t offset) {
    ASSERT_EQ(kafka::commit_for_empty_group({{"bootstrap.servers", std::getenv("DEJA_KAFKA")}}, group_, {{{topic_, 0}, offset}}, "another", std::chrono::seconds(20)), kafka::GroupState::empty);
  };
  committed(7);
  const auto [code, ahead] = found();
  EXPECT_EQ(code, 1);
  EXPECT_EQ(ahead["status"], "fail");
  const auto command = "deja lanes reset --group " + group_ + " --topic " + topic_ + " --partition 0 --to-offset ";
  EXPECT_THAT(ahead["remedy"].get<std::string>(), ::testing::AllOf(HasSubstr(command + "7 --reason"), HasSubstr(command + "3 --reason")));
  committed(2);
  EXPECT_EQ(found().second["status"], "warn") << "behind, nothing was handled elsewhere";
  committed(3);
  sql("update deja.lanes set next_offset = 30");
  EXPECT_EQ(found().second["status"], "fail");
  EXPECT_THAT(found().second["remedy"].get<std::string>(), HasSubstr("deja lanes accept-loss --group " + group_ + " --topic " + topic_ + " --partition 0 --reason"));
}

TEST_F(Lanes, ResetMovesAllLanesOfAPartitionAndLeavesRetiredOnes) {
  lane(8, 0, 2);
  lane(6, 1, 2);
  lane(1, 2, 2);  // of a time with more lanes
  const auto result = reset("--to-offset 7 --expect 2");
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(ask(position), "0,0,7,8,6,t,t,null\n0,1,7,8,6,t,t,null\n0,2,1,0,5,f,f,some cause");
  ASSERT_EQ(result.rows().size(), 2u);
  EXPECT_EQ(result.rows()[0]["records"], 1);
  EXPECT_EQ(result.rows()[0]["skipped"], 1);
  EXPECT_EQ(result.rows()[1]["from"], 6);
  EXPECT_TRUE(result.rows()[1]["records"].is_null()) << "they are the partition's, told once";
}

TEST_F(Lanes, ASecondResetFurtherBackRemembersHowFarTheGroupHadCome) {
  lane(8);
  ASSERT_EQ(reset("--to-offset 5 --expect 3").code, 0);
  ASSERT_EQ(reset("--to-offset 2 --expect 3").code, 0);
  EXPECT_EQ(ask(position), "0,0,2,8,7,t,t,null");
}

TEST_F(Lanes, TheAuditLogIsShownAndItsChainIsChecked) {
  lane(8);
  ASSERT_EQ(reset("--to-offset 5 --expect 3").code, 0);
  ASSERT_EQ(reset("--to-offset 7 --expect 2").code, 0);
  const auto rows = deja("audit-log --output json --filter 'action=\"lanes reset\" and reason~test'").rows();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(json::parse(rows[1]["detail"].get<std::string>())["lanes"][0]["from"], 5);
  EXPECT_NE(rows[0]["hash"], rows[1]["hash"]);
  EXPECT_EQ(deja("audit-log --count --group nobody").out, "0\n");
  EXPECT_EQ(deja("audit-log --verify").code, 0);
  sql("begin; set local session_replication_role = replica; update deja.audit_log set reason = 'harmless' where id = 1; commit");
  const auto broken = deja("audit-log --verify");
  EXPECT_EQ(broken.code, 1);
  EXPECT_THAT(broken.last_error(), HasSubstr("row 1: it is not as it was written"));
}

TEST_F(Lanes, ResetChangesNothingWhileKafkaIsAway) {
  lane(8);
  EXPECT_EQ(reset("--to-earliest --expect 8 --set kafka.bootstrap.servers=127.0.0.1:1").code, 69);
  EXPECT_EQ(ask(position), "0,0,8,0,5,f,f,some cause");
}

TEST_F(Lanes, AcceptLossRefusesWhereNothingIsLost) {
  lane(8);
  const auto refused = accept_loss();
  EXPECT_EQ(refused.code, 65);
  EXPECT_THAT(refused.last_error(), HasSubstr("lost nothing"));
  EXPECT_THAT(refused.last_error(), HasSubstr("0 to 9"));
  EXPECT_EQ(accept_loss("--to-offset 11").code, 65);
  EXPECT_EQ(lanes("accept-loss --partition 0 --yes").code, 64);
  EXPECT_EQ(lanes("accept-loss --reason r --yes").code, 64) << "no partition";
  EXPECT_EQ(ask(position), "0,0,8,0,5,f,f,some cause");
  EXPECT_EQ(accept_loss("--to-offset 9").code, 0);
  EXPECT_EQ(ask("select next_offset from deja.lanes"), "9");
}

TEST_F(Lanes, AcceptLossGoesOnAtTheStartOfALogThatIsShorterOrAnotherOne) {
  lane(80, 0, 2);
  lane(70, 1, 2);
  const auto before = ask("select distinct incarnation from deja.lanes");
  const auto shorter = accept_loss();
  ASSERT_EQ(shorter.code, 0) << shorter.err;
  EXPECT_EQ(shorter.rows()[0]["from"], 80);
  EXPECT_EQ(shorter.rows()[0]["to"], 0);
  EXPECT_EQ(shorter.rows()[0]["lost_from"], 80);
  EXPECT_TRUE(shorter.rows()[0]["lost_until"].is_null());
  EXPECT_EQ(ask(position), "0,0,0,0,6,t,t,null\n0,1,0,0,6,t,t,null");
  const auto after = ask("select distinct incarnation from deja.lanes");
  EXPECT_EQ(after.size(), 36u) << "one for all lanes";
  EXPECT_THAT(before, ::testing::Not(HasSubstr(after)));
  EXPECT_EQ(ask("select action, reason, detail->'lanes'->0->>'from', detail->>'incarnation' from deja.audit_log"), "lanes accept-loss,a test,80," + after);

  sql("update deja.lanes set next_offset = 5, paused_cause = 'log lost: the log is another one' where lane = 1");
  const auto other = accept_loss();
  ASSERT_EQ(other.code, 0) << other.err;
  EXPECT_EQ(other.rows()[1]["from"], 5);
  EXPECT_EQ(other.rows()[1]["to"], 0);
  EXPECT_EQ(accept_loss().code, 65) << "it was accepted";
}

}  // namespace
}  // namespace deja
