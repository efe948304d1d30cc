#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "postgres/audit_log_store.h"
#include "postgres/errors.h"
#include "postgres/migrations.h"
#include "postgres/transaction_control.h"
#include "testing/scratch_database.h"

// The audit log on a real Postgres: its rows are added, never changed, and each names the one before it.

namespace deja::postgres {
namespace {

class AuditLog : public ::testing::Test {
 protected:
  AuditLog() { migrate(owner_, "deja", false); }

  void add(Connection& c, const std::string& reason, const std::string& detail = "{}") {
    in_transaction(c, [&] { log_.append(c, {"lanes reset", "g", reason, detail}); });
  }
  // What only somebody can do who may switch the trigger off.
  void tamper(const std::string& sql) {
    owner_.exec("begin; set local session_replication_role = replica; " + sql + "; commit");
  }

  testing::ScratchDatabase database_;
  Connection owner_{{.url = database_.url()}};
  AuditLogStore log_{"deja"};
};

TEST_F(AuditLog, KeepsWhatWasDoneWithWhoAndWhenAsTheServerSaysIt) {
  add(owner_, "said \"twice\"\nand 'quoted'", R"({"b": 1,  "a": [null, "é"]})");
  const auto row = owner_.exec("select id, who = session_user, at <= clock_timestamp(), action, group_id, reason, detail::text, length(hash) from deja.audit_log")[0];
  EXPECT_EQ(row[0].as<int>(), 1);
  EXPECT_TRUE(row[1].as<bool>());
  EXPECT_TRUE(row[2].as<bool>());
  EXPECT_STREQ(row[5].c_str(), "said \"twice\"\nand 'quoted'");
  EXPECT_STREQ(row[6].c_str(), R"({"b": 1,  "a": [null, "é"]})") << "as it came";
  EXPECT_EQ(row[7].as<int>(), 32);
  EXPECT_FALSE(log_.verify(owner_).broken);
}

TEST_F(AuditLog, RefusesEveryChangeOfARow) {
  add(owner_, "one");
  for (const auto* change : {"update deja.audit_log set reason = 'other'", "delete from deja.audit_log", "truncate deja.audit_log"}) {
    try {
      owner_.exec(change);
      FAIL() << change << " went through";
    } catch (const std::exception& e) {
      EXPECT_THAT(classify(e).message, ::testing::HasSubstr("append-only")) << change;
    }
  }
  EXPECT_EQ(log_.verify(owner_).rows, 1);
}

TEST_F(AuditLog, AnEntryOfATransactionThatIsRolledBackLeavesNoGap) {
  add(owner_, "one");
  EXPECT_FALSE(in_transaction(owner_, [&] { return log_.append(owner_, {"lanes reset", "", "taken back", "{}"}) == 0; }));
  add(owner_, "two");
  const auto verdict = log_.verify(owner_);
  EXPECT_EQ(verdict.rows, 2);
  EXPECT_FALSE(verdict.broken);
}

TEST_F(AuditLog, ConcurrentAppendersKeepTheChain) {
  constexpr int writers = 6, each = 40;
  std::vector<std::thread> threads;
  for (int w = 0; w < writers; ++w)
    threads.emplace_back([&, w] {
      Connection c({.url = database_.url()});
      for (int i = 0; i < each; ++i) add(c, std::to_string(w) + "/" + std::to_string(i));
    });
  for (auto& t : threads) t.join();
  const auto verdict = log_.verify(owner_);
  EXPECT_EQ(verdict.rows, writers * each);
  EXPECT_FALSE(verdict.broken) << verdict.broken->id << ": " << verdict.broken->what;
}

TEST_F(AuditLog, ARowChangedBehindTheTriggersBackIsFoundAtTheFirstBrokenLink) {
  const auto broken = [&] {
    const auto verdict = log_.verify(owner_);
    return verdict.broken ? std::to_string(verdict.broken->id) + " " + verdict.broken->what : "";
  };
  for (int i = 1; i <= 5; ++i) add(owner_, std::to_string(i));
  owner_.exec("create table kept as table deja.audit_log");
  const auto restore = [&] {
    tamper("delete from deja.audit_log; insert into deja.audit_log select * from kept");
    EXPECT_EQ(broken(), "");
  };
  for (const auto* change : {"reason = 'nothing happened'", "who = 'somebody else'", "at = at - interval '1 microsecond'", "group_id = null", "detail = '{ }'", "action = 'x'"}) {
    tamper(std::string("update deja.audit_log set ") + change + " where id = 3");
    EXPECT_EQ(broken(), "3 it is not as it was written") << change;
    restore();
  }
  tamper("delete from deja.audit_log where id = 2");
  EXPECT_EQ(broken(), "3 rows are missing before it");
  restore();
  tamper("delete from deja.audit_log where id = 1; update deja.audit_log set id = id - 1");
  EXPECT_EQ(broken(), "1 it does not follow the row before it");
  restore();
  tamper("update deja.audit_log a set reason = k.reason, at = k.at, who = k.who, detail = k.detail from kept k where k.id = 6 - a.id and a.id in (2, 4)");
  EXPECT_EQ(broken(), "2 it is not as it was written") << "rows that changed places";
}

}  // namespace
}  // namespace deja::postgres
