#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>

#include <deja/deja.h>
#include <deja/query.h>
#include <deja/testing.h>

// The batch transaction on a real Postgres, through the kit that users test their handlers with.

namespace {

using deja::testing::Harness;
using deja::testing::Input;
using deja::testing::Outcome;

constexpr const char* tables =
    "create table effects (id bigint generated always as identity, key text, value text, n int);"
    "create table totals (name text primary key, sum bigint not null check (sum < 1000000));"
    "create table once (v text unique deferrable initially deferred);";

/// Does what the record's value says, and then writes its effect.
struct Scripted {
  static constexpr auto name = "scripted";
  static constexpr auto idempotency = deja::by_header("Idempotency-Key");

  void handle(const deja::Record& record, deja::Transaction& tx) {
    const auto todo = record.value();
    if (todo == "reject") throw deja::Reject("poison");
    if (todo == "throw") throw std::runtime_error("boom 42");
    if (todo == "int") throw 7;
    if (todo == "query-then-throw") {
      tx.query("insert into effects (key) values ('must not stay')");
      throw std::runtime_error("boom");
    }
    if (todo == "bad-insert") tx.insert("effects", {{"n", "not a number"}});
    if (todo == "bad-defer") tx.defer("insert into totals values ($1, $2)", "t", 5'000'000);
    if (todo == "select") tx.query("select 1");
    if (todo == "swallow") {
      try {
        tx.query("select 1/0");
      } catch (const pqxx::sql_error&) {
      }
    }
    if (todo == "commit") tx.query("commit");
    if (todo == "two-statements") tx.defer("insert into effects (key) values ('smuggled'); commit");
    if (todo.starts_with("once:")) tx.insert("once", {{"v", todo}});
    if (todo == "no-topic") tx.emit({.topic = "not a topic"});
    if (todo == "too-big") tx.emit({.topic = "out", .value = std::string(1'000'000, 'x')});
    if (todo == "reserved") tx.emit({.topic = "out", .headers = {{"deja-event-id", "mine"}}});
    tx.insert("effects", {{"key", record.key()}, {"value", todo}});
    tx.emit({.topic = "out", .key = record.key(), .value = todo});
  }
};

Input record(const std::string& idempotency_key, const std::string& value, const std::string& key = "k") {
  return {key, value, {{"Idempotency-Key", idempotency_key}}};
}

std::string words(const std::vector<Outcome>& outcomes) {
  std::string text;
  for (const auto& o : outcomes) text += (text.empty() ? "" : " ") + o.disposition + (o.cause.empty() ? "" : ":" + o.cause);
  return text;
}

std::vector<std::string> effects(const Harness& harness) {
  std::vector<std::string> values;
  for (const auto& row : harness.query("select coalesce(value, key) from effects order by id")) values.push_back(*row[0]);
  return values;
}

std::string count(const Harness& harness, const std::string& from) { return *harness.query("select count(*) from " + from)[0][0]; }

TEST(Batch, CommitsEffectsKeysAndEventsOnce) {
  auto harness = Harness::of<Scripted>(tables);
  EXPECT_EQ(words(harness.run({record("1", "a"), record("2", "b")})), "processed processed");
  EXPECT_EQ(words(harness.run({record("1", "a")})), "duplicate:producer");
  EXPECT_EQ(words(harness.redeliver()), "duplicate:redelivery");
  EXPECT_EQ(effects(harness), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(harness.events().size(), 2U);
  EXPECT_EQ(count(harness, "deja.keys_1"), "2");
}

// Fuller than an example: random keys, any number of them twice; the first in log order wins, always.
RC_GTEST_PROP(Batch, C7_OfTwinsTheFirstInLogOrderHasTheEffect, ()) {
  static auto harness = Harness::of<Scripted>(tables);
  static int round = 0;
  ++round;
  const auto keys = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 8));
  RC_PRE(!keys.empty());
  std::vector<Input> inputs;
  std::map<int, std::string> first;
  std::vector<std::string> expected;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const auto value = std::to_string(round) + "/" + std::to_string(keys[i]);
    inputs.push_back(record(value, value));
    if (first.emplace(keys[i], value).second) expected.push_back(value);
  }
  const auto before = effects(harness).size();
  const auto outcomes = harness.run(inputs);
  const auto all = effects(harness);
  RC_ASSERT(std::vector<std::string>(all.begin() + static_cast<std::ptrdiff_t>(before), all.end()) == expected);
  RC_ASSERT(outcomes.size() == keys.size());
}

TEST(Batch, D10_TheSameKeyWithAnotherPayloadIsAConflictWithBothPositions) {
  auto harness = Harness::of<Scripted>(tables);
  EXPECT_EQ(words(harness.run({record("1", "a"), record("1", "b")})), "processed conflict:conflict");
  EXPECT_EQ(words(harness.run({record("1", "c")})), "conflict:conflict");
  const auto rows = harness.query("select \"offset\", conflict_offset, cause from deja.dead_letters order by id");
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(*rows[0][0] + *rows[0][1] + *rows[0][2], "10conflict");
  EXPECT_EQ(*rows[1][0] + *rows[1][1], "20");
  EXPECT_EQ(effects(harness), (std::vector<std::string>{"a"}));
}

TEST(Batch, B3_AFailingRecordGivesUpItsKeySoThatALaterTwinRuns) {
  auto harness = Harness::of<Scripted>(tables);
  for (const auto* failing : {"throw", "query-then-throw", "bad-insert"}) {
    const std::string key = failing;
    EXPECT_EQ(words(harness.run({record(key, failing), record(key, "fine " + key), record(key, "fine " + key)})),
              "dead:exhausted processed duplicate:producer")
        << failing;
    const auto holder = harness.query("select \"offset\" from deja.keys_1 order by \"offset\" desc limit 1");
    EXPECT_EQ(count(harness, "deja.dead_letters where \"offset\" = " + *holder[0][0]), "0") << "the key's row names the record that has the effect";
  }
  EXPECT_EQ(effects(harness), (std::vector<std::string>{"fine throw", "fine query-then-throw", "fine bad-insert"}));
}

TEST(Batch, D3_OneFailingRecordAmongManyLeavesTheOthersCommitted) {
  for (const auto* failing : {"reject", "throw", "int", "query-then-throw", "bad-insert", "bad-defer", "swallow", "commit", "two-statements", "reserved", "no-topic", "too-big"}) {
    auto harness = Harness::of<Scripted>(tables);
    std::vector<Input> inputs;
    for (int i = 0; i < 150; ++i) inputs.push_back(record(std::to_string(i), i == 70 ? failing : "ok"));
    const auto outcomes = harness.run(inputs);
    ASSERT_EQ(outcomes.size(), 150U) << failing;
    for (const auto& o : outcomes) EXPECT_EQ(o.disposition, o.offset == 70 ? "dead" : "processed") << failing << " at " << o.offset << ": " << o.error;
    EXPECT_EQ(effects(harness), std::vector<std::string>(149, "ok")) << failing;
    EXPECT_EQ(harness.events().size(), 149U) << failing;
    EXPECT_EQ(count(harness, "deja.dead_letters"), "1") << failing;
    EXPECT_EQ(count(harness, "deja.keys_1"), "149") << failing;
    EXPECT_EQ(*harness.query("select open from deja.lanes")[0][0], "f") << failing;
  }
}

// However those that fail lie among the others, and whether they sent statements before: each has its own outcome, in the order of the log.
RC_GTEST_PROP(Batch, D3_EachRecordOfAGroupHasItsOwnOutcome, ()) {
  static auto harness = Harness::of<Scripted>(tables);
  static int round = 0;
  const auto todo = rc::gen::weightedOneOf<std::string>({{12, rc::gen::just<std::string>("ok")},
                                                         {1, rc::gen::just<std::string>("throw")},
                                                         {1, rc::gen::just<std::string>("reject")},
                                                         {2, rc::gen::just<std::string>("query-then-throw")},
                                                         {2, rc::gen::just<std::string>("bad-insert")},
                                                         {1, rc::gen::just<std::string>("bad-defer")},
                                                         {1, rc::gen::just<std::string>("swallow")},
                                                         {1, rc::gen::just<std::string>("select")}});
  const auto todos = *rc::gen::resize(90, rc::gen::container<std::vector<std::string>>(todo));
  RC_PRE(!todos.empty());
  ++round;
  std::vector<Input> inputs;
  std::string expected;
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < todos.size(); ++i) {
    const auto key = std::to_string(round) + "/" + std::to_string(i);
    inputs.push_back(record(key, todos[i], key));
    const bool good = todos[i] == "ok" || todos[i] == "select";
    if (good) keys.push_back(key);
    expected += (i == 0 ? "" : " ") + std::string(good ? "processed" : todos[i] == "reject" ? "dead:rejected" : "dead:exhausted");
  }
  const auto effects_before = std::stoul(count(harness, "effects")), events_before = harness.events().size();
  RC_ASSERT(words(harness.run(inputs)) == expected);
  std::vector<std::string> made, emitted;
  for (const auto& row : harness.query("select key from effects order by id offset " + std::to_string(effects_before))) made.push_back(*row[0]);
  const auto events = harness.events();
  for (std::size_t i = events_before; i < events.size(); ++i) emitted.push_back(events[i].key.value());
  RC_ASSERT(made == keys);
  RC_ASSERT(emitted == keys);
}

TEST(Batch, D6_SaysWhatToChangeWhenAHandlerEndsTheTransactionOrSwallowsAnError) {
  auto harness = Harness::of<Scripted>(tables);
  const auto outcomes = harness.run({record("1", "commit"), record("2", "swallow"), record("3", "int")});
  EXPECT_NE(outcomes[0].error.find("deja commits the batch"), std::string::npos) << outcomes[0].error;
  EXPECT_NE(outcomes[1].error.find("caught an SQL error"), std::string::npos) << outcomes[1].error;
  EXPECT_NE(outcomes[1].error.find("division by zero"), std::string::npos) << outcomes[1].error;
  EXPECT_NE(outcomes[2].error.find("int"), std::string::npos) << outcomes[2].error;
}

TEST(Batch, B5_AViolationThatShowsOnlyAtCommitFindsItsRecord) {
  auto harness = Harness::of<Scripted>(tables);
  EXPECT_EQ(words(harness.run({record("1", "once:x"), record("2", "fine"), record("3", "once:x"), record("4", "fine")})),
            "processed processed dead:exhausted processed");
  EXPECT_EQ(count(harness, "once"), "1");
}

TEST(Batch, B1_HoldsUnderADatabaseDefaultOfSerializable) {
  auto harness = Harness::of<Scripted>(std::string(tables) +
                                       "do $$ begin execute format('alter database %I set default_transaction_isolation = ''serializable''', current_database()); end $$;");
  EXPECT_EQ(words(harness.run({record("1", "a"), record("1", "a"), record("2", "query-then-throw"), record("3", "c")})),
            "processed duplicate:producer dead:exhausted processed");
  EXPECT_EQ(effects(harness), (std::vector<std::string>{"a", "c"}));
}

TEST(Batch, D10_BytesOfAnyKindAreKeptAsBytes) {
  auto harness = Harness::of<Scripted>(tables);
  constexpr char literal[] = "\0\xFF\xFE\x80 'quoted' \\ $1";
  const std::string nasty(literal, sizeof literal - 1);
  std::vector<Input> inputs;
  inputs.push_back({std::nullopt, std::nullopt, {}});
  inputs.push_back({nasty, nasty, {{"Idempotency-Key", nasty}, {nasty.substr(1, 5), nasty}}});  // effect of text column: refused
  inputs.push_back({"", "", {{"Idempotency-Key", "empty"}}});
  inputs.push_back({std::string(3000, 'k'), std::string(900'000, 'v'), {{"Idempotency-Key", std::string(5000, 'i')}}});
  EXPECT_EQ(words(harness.run(inputs)), "dead:key_missing dead:exhausted processed processed");
  const auto rows = harness.query("select record_key is null, value is null, encode(value, 'hex'), encode(idempotency_key, 'hex') from deja.dead_letters order by id");
  EXPECT_EQ(*rows[0][0] + *rows[0][1], "tt");
  EXPECT_EQ(rows[1][2], rows[1][3]);
  EXPECT_EQ(rows[1][2]->substr(0, 8), "00fffe80");
}

struct Ordered {
  static constexpr auto name = "ordered";
  static constexpr auto idempotency = deja::by_offset("a test");
  void handle(const deja::Record& record, deja::Transaction& tx) {
    tx.insert("effects", {{"key", "row"}, {"value", record.value()}});
    tx.defer("update effects set n = coalesce(n, 0) + 1");
    tx.insert("totals", {{"name", record.value()}, {"sum", 1}});
    const auto seen = tx.query("select count(*) from effects where n is not null")[0][0].as<int>();
    tx.insert("effects", {{"key", "seen"}, {"value", record.value()}, {"n", seen}});
  }
};

TEST(Batch, StatementsTakeEffectInTheOrderOfTheCalls) {
  auto harness = Harness::of<Ordered>(tables);
  harness.run({record("1", "a"), record("2", "b")});
  const auto rows = harness.query("select key || n from effects order by id");
  std::string text;
  for (const auto& row : rows) text += *row[0] + " ";
  EXPECT_EQ(text, "row2 seen2 row1 seen3 ") << "b's update saw a's rows, a's did not see b's";
}

struct InBatches {
  static constexpr auto name = "in-batches";
  static constexpr auto idempotency = deja::by_header("Idempotency-Key");
  void handle(std::span<const deja::Record> records, deja::BatchTransaction& tx) {
    for (const auto& record : records) {
      if (record.value() == "reject") {
        tx.reject(record, "poison");
        continue;
      }
      if (record.value() == "throw") throw std::runtime_error("one of us");
      if (record.value() == "query-then-throw") tx.query("select 1"), throw std::runtime_error("one of us");
      tx.insert("effects", {{"value", record.value()}});
      tx.emit(record, {.topic = "out", .value = record.value()});
    }
  }
};

TEST(BatchHandler, RunsInHalvesUntilTheFailingRecordStandsAlone) {
  for (const auto* failing : {"throw", "query-then-throw", "reject"}) {
    auto harness = Harness::of<InBatches>(tables);
    std::vector<Input> inputs;
    for (int i = 0; i < 100; ++i) inputs.push_back(record(std::to_string(i), i == 37 || i == 99 ? failing : "v" + std::to_string(i)));
    const auto outcomes = harness.run(inputs);
    for (const auto& o : outcomes) EXPECT_EQ(o.disposition, o.offset == 37 || o.offset == 99 ? "dead" : "processed") << failing << o.offset;
    EXPECT_EQ(effects(harness).size(), 98U) << failing;
    EXPECT_EQ(harness.events().size(), 98U) << failing;
  }
}

TEST(BatchHandler, ATwinWaitsForWhatBecomesOfTheFirst) {
  auto harness = Harness::of<InBatches>(tables);
  EXPECT_EQ(words(harness.run({record("1", "reject"), record("1", "a"), record("1", "a"), record("2", "b")})),
            "dead:rejected processed duplicate:producer processed");
  EXPECT_EQ(effects(harness).size(), 2U);
}

// What waits for a twin's fate keeps its place among the records of its ordering key.
TEST(BatchHandler, R5_RecordsBehindATwinThatWaitsWaitAsWell) {
  auto harness = Harness::of<InBatches>(tables);
  EXPECT_EQ(words(harness.run({record("1", "reject", "a"), record("1", "first", "a"), record("2", "second", "a"), record("3", "other", "b")})),
            "dead:rejected processed processed processed");
  EXPECT_EQ(effects(harness), (std::vector<std::string>{"other", "first", "second"}));
}

TEST(Events, D3_KeepTheirIdsWhenARecordRunsAgain) {
  const auto ids = [] {
    auto harness = Harness::of<Scripted>(tables);
    harness.run({record("1", "a"), record("2", "query-then-throw"), record("3", "c")});  // runs 1 and 3 twice
    std::vector<std::string> all;
    for (const auto& e : harness.events()) all.push_back(e.id);
    return all;
  };
  const auto once = ids();
  EXPECT_EQ(once.size(), 2U);
  EXPECT_EQ(once, ids());
}

TEST(Events, CarryTheirIdTheirSourceAndTheTraceOfTheRecord) {
  auto harness = Harness::of<Scripted>(tables);
  auto input = record("1", "a");
  input.headers.emplace_back("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  harness.run({input});
  std::map<std::string, std::string> headers;
  const auto event = harness.events().at(0);
  for (const auto& [name, value] : event.headers) headers[name] = value;
  EXPECT_EQ(headers["deja-event-id"], event.id);
  EXPECT_EQ(headers["Idempotency-Key"], event.id);
  EXPECT_EQ(headers["deja-source"], "test/0/0");
  EXPECT_EQ(headers["traceparent"], input.headers.back().second);
}

struct ByOffset {
  static constexpr auto name = "by-offset";
  static constexpr auto idempotency = deja::by_offset("a test");
  void handle(const deja::Record& record, deja::Transaction& tx) { tx.insert("effects", {{"value", record.value()}}); }
};

TEST(Strategies, OfOffsetsKeepNoKeyAndSeeNoDuplicates) {
  auto harness = Harness::of<ByOffset>(tables);
  EXPECT_EQ(words(harness.run({record("1", "a"), record("1", "a")})), "processed processed");
  EXPECT_EQ(count(harness, "deja.keys_1"), "0");
}

struct Throwing {
  static constexpr auto name = "throwing";
  static constexpr auto idempotency = deja::by_key([](const deja::Record& r) -> std::string {
    if (r.value() == "bad") throw std::runtime_error("no json");
    return std::string(r.value());
  });
  void handle(const deja::Record& record, deja::Transaction& tx) { tx.insert("effects", {{"value", record.value()}}); }
};

TEST(Strategies, AThrowingKeyFunctionMakesTheRecordUndecodable) {
  auto harness = Harness::of<Throwing>(tables);
  EXPECT_EQ(words(harness.run({record("", "bad"), record("", "good")})), "dead:undecodable processed");
}

}  // namespace
