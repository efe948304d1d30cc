#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <set>

#include <deja/deja.h>

#include "core/batch_plan.h"
#include "postgres/migrations.h"
#include "postgres/transaction_control.h"
#include "runtime/batch.h"
#include "runtime/failures.h"
#include "testing/scratch_database.h"

// Records that are read again after a reset to an earlier offset: each keeps the one disposition it had.

namespace deja {
namespace {

std::set<std::string> mended;  // values that a handler fails on no longer

struct Moody {
  static constexpr auto name = "moody";
  static constexpr auto idempotency = by_header("Idempotency-Key");
  void handle(const Record& record, Transaction& tx) {
    const std::string todo(record.value());
    if (!mended.contains(todo)) {
      if (todo == "reject") throw Reject("poison");
      if (todo == "throw") throw std::runtime_error("boom");
    }
    tx.insert("effects", {{"offset", record.offset()}, {"value", todo}});
  }
};

struct MoodyByOffset : Moody {
  static constexpr auto idempotency = by_offset("a test");
};

class Reread : public ::testing::Test {
 protected:
  template <class Handler>
  void start() {
    mended.clear();
    spec_ = detail::make_spec<Handler>({"t"});
    handler_ = spec_->make();
    preparer_.emplace(*spec_, runtime::KeySettings{.scope = "g", .secret = {}, .tenant_header = {}});
    postgres::Connection owner({.url = database_.url()});
    postgres::migrate(owner, "deja", false);
    owner.exec("create table effects (\"offset\" bigint, value text)");
    stores_.lanes.create(c_, name_, 0);
    take_over();
  }
  void take_over() { row_ = stores_.lanes.take_over(c_, name_).value(); }

  void log(const std::string& key, const std::string& value) {
    values_.push_back(value);
    keys_.push_back(key);
    headers_.push_back({{"Idempotency-Key", keys_.back()}});
  }

  // From the row's offset to the end of the log in batches of three; outcomes by offset.
  std::map<std::int64_t, runtime::RecordOutcome> consume() {
    std::map<std::int64_t, runtime::RecordOutcome> outcomes;
    while (row_.next_offset < static_cast<std::int64_t>(values_.size())) {
      std::vector<core::SourceRecord> sources;
      for (auto at = static_cast<std::size_t>(row_.next_offset); at < values_.size() && sources.size() < 3; ++at) {
        auto& source = sources.emplace_back();
        source.view.topic = "t";
        source.view.partition = 0;
        source.view.offset = static_cast<std::int64_t>(at);
        source.view.timestamp_ms = 0;
        source.view.value = values_[at];
        source.headers = headers_[at];
        source.view.headers = source.headers;
      }
      std::vector<runtime::PreparedRecord> records;
      for (const auto& source : sources) records.push_back(preparer_->prepare(source));
      runtime::BatchResult result;
      try {
        runtime::Batch(settings_, stores_, c_, prepared_, *spec_, *handler_, row_, parked_, random_).run(records, 0, runtime::Pass::plain, result);
      } catch (const runtime::NeedsSavepoints&) {
        result = {};
        runtime::Batch(settings_, stores_, c_, prepared_, *spec_, *handler_, row_, parked_, random_).run(records, 0, runtime::Pass::savepoints, result);
      }
      row_ = result.row;
      for (auto& o : result.outcomes) outcomes[o.offset] = o;
    }
    return outcomes;
  }

  // As `deja lanes reset` leaves the row.
  void reset_to(std::int64_t offset) {
    postgres::Connection operator_({.url = database_.url()});
    operator_.exec("update deja.lanes set reread_until = greatest(reread_until, next_offset), next_offset = " + std::to_string(offset) +
                   ", owner_token = null, batch_seq = batch_seq + 1");
    take_over();
  }

  std::string word(const runtime::RecordOutcome& o) { return std::string(core::word(o.disposition)) + (o.cause.empty() ? "" : ":" + o.cause); }
  std::string words(const std::map<std::int64_t, runtime::RecordOutcome>& outcomes) {
    std::string all;
    for (const auto& [offset, o] : outcomes) all += (all.empty() ? "" : " ") + word(o);
    return all;
  }
  std::string ask(const std::string& sql) { return c_.exec(sql)[0][0].c_str(); }
  // Of the effects and dead letters: every record that has two of them, or is in both.
  std::string doubled() {
    return ask("select coalesce(string_agg(o::text, ' '), '') from (select o from (select \"offset\" o from effects union all select \"offset\" from deja.dead_letters) d "
               "group by o having count(*) > 1) twice");
  }

  ::deja::testing::ScratchDatabase database_;
  postgres::Connection c_{{.url = database_.url(), .read_only = true}};
  postgres::PreparedStatements prepared_;
  const postgres::LaneName name_{"g", "t", 0, 0};
  const runtime::BatchSettings settings_{.scope = "g", .dlq_topic = {}, .group = "g"};
  const runtime::Stores stores_{"deja", "g", "test", "test", std::chrono::minutes(1)};
  core::ParkedSet parked_;
  core::Random random_{1};
  std::optional<detail::HandlerSpec> spec_;
  std::unique_ptr<detail::HandlerInstance> handler_;
  std::optional<runtime::Preparer> preparer_;
  postgres::LaneState row_;
  std::deque<std::string> keys_, values_;
  std::deque<std::vector<Header>> headers_;
};

TEST_F(Reread, D2_ARecordThatIsADeadLetterIsLeftToItsRowEvenIfItsHandlerWouldSucceedNow) {
  start<Moody>();
  log("1", "ok");
  log("2", "throw");
  log("3", "reject");
  log("1", "another payload");
  log("4", "ok");
  log("4", "ok");
  ASSERT_EQ(words(consume()), "processed dead:exhausted dead:rejected conflict:conflict processed duplicate:producer");
  mended = {"throw", "reject"};
  reset_to(0);
  EXPECT_EQ(words(consume()), "duplicate:replay duplicate:redelivery duplicate:redelivery duplicate:redelivery duplicate:replay duplicate:producer");
  EXPECT_EQ(doubled(), "");
  EXPECT_EQ(ask("select count(*) from effects"), "2");
  EXPECT_EQ(ask("select count(*) from deja.dead_letters"), "3");
  EXPECT_EQ(ask("select count(*) from deja.keys_1"), "2") << "a dead letter's key stays free";
}

TEST_F(Reread, D2_ADeadLetterThatWasSettledSinceIsStillItsRecordsOneDisposition) {
  start<Moody>();
  log("1", "throw");
  consume();
  postgres::Connection({.url = database_.url()}).exec("update deja.dead_letters set status = 'discarded'");
  mended = {"throw"};
  reset_to(0);
  EXPECT_EQ(words(consume()), "duplicate:redelivery");
  EXPECT_EQ(ask("select count(*) from effects"), "0");
}

TEST_F(Reread, D2_ALaterTwinOfADeadRecordKeepsItsEffect) {
  start<Moody>();
  log("1", "throw");
  log("1", "ok");
  ASSERT_EQ(words(consume()), "dead:exhausted processed");
  mended = {"throw"};
  reset_to(0);
  EXPECT_EQ(words(consume()), "duplicate:redelivery duplicate:replay");
  EXPECT_EQ(doubled(), "");
}

TEST_F(Reread, D2_AHandlerWithoutKeysRunsAgainButForItsDeadLetters) {
  start<MoodyByOffset>();
  log("", "ok");
  log("", "throw");
  log("", "ok");
  consume();
  mended = {"throw"};
  reset_to(0);
  EXPECT_EQ(words(consume()), "processed duplicate:redelivery processed");
  EXPECT_EQ(ask("select count(*) from effects"), "4") << "which is what --rerun-effects asks about";
}

TEST_F(Reread, D2_WhatComesAfterTheResetIsNewAgain) {
  start<Moody>();
  log("1", "ok");
  log("2", "throw");
  consume();
  reset_to(1);
  log("3", "ok");
  log("1", "ok");
  EXPECT_EQ(words(consume()), "duplicate:redelivery processed duplicate:producer");
  EXPECT_EQ(row_.reread_until, 2);
}

TEST_F(Reread, D2_ARecordThatFailsOnlyNowBecomesADeadLetterOnce) {
  start<MoodyByOffset>();
  mended = {"throw"};
  log("", "throw");
  log("", "throw");
  consume();
  mended.clear();
  reset_to(1);
  EXPECT_EQ(words(consume()), "dead:exhausted");
  reset_to(0);
  EXPECT_EQ(words(consume()), "dead:exhausted duplicate:redelivery");
}

TEST_F(Reread, D2_TheDeadLettersOfAnotherLogAreNobodys) {
  start<Moody>();
  log("1", "throw");
  consume();
  postgres::Connection({.url = database_.url()}).exec("update deja.lanes set incarnation = gen_random_uuid()");
  mended = {"throw"};
  reset_to(0);
  EXPECT_EQ(words(consume()), "processed");
}

}  // namespace
}  // namespace deja
