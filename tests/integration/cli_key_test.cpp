#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <sstream>

#include <sys/wait.h>

#include <nlohmann/json.hpp>

#include "core/keys.h"
#include "postgres/registry_store.h"
#include "support/lane_rig.h"

// `deja key` on rows that real batches made.

namespace deja::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

struct Settle {
  static constexpr auto name = "settle";
  static constexpr auto idempotency = by_header("Idempotency-Key");
  void handle(const Record& record, Transaction& tx) {
    if (record.value() == "reject") throw Reject("poison");
    for (int i = 0; i < 2; ++i) tx.emit({.topic = "settled", .key = record.key(), .value = record.value()});
  }
};

struct Renamed : Settle {
  static constexpr auto name = "settle-payment";
};

RigRecord record(const std::string& key, const std::string& value) { return {value, {{"Idempotency-Key", key}, {"X-Tenant", "acme"}}}; }

struct Said {
  int code = -1;
  std::string out;
  std::vector<json> rows() const {
    std::vector<json> all;
    std::istringstream lines(out);
    for (std::string line; std::getline(lines, line);) all.push_back(json::parse(line));
    return all;
  }
};

struct KeyCommand : ::testing::Test {
  RigDatabase database{""};

  Said deja(const std::string& arguments, bool errors = false) {
    const auto command = "cd / && DEJA_POSTGRES='" + database.url() + "' timeout 90 " DEJA_BIN_DIR "/deja " + arguments + (errors ? " 2>&1 >/dev/null" : " 2>/dev/null");
    Said said;
    auto* pipe = ::popen(command.c_str(), "r");
    char buffer[4096];
    for (std::size_t n; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) said.out.append(buffer, n);
    said.code = WEXITSTATUS(::pclose(pipe));
    return said;
  }
  json one(const std::string& arguments) {
    const auto rows = deja("key " + arguments + " --output json").rows();
    EXPECT_EQ(rows.size(), 1U) << arguments;
    return rows.empty() ? json() : rows[0];
  }
  // As a program's start does.
  void record_recipe(const core::KeyRecipes& recipes) {
    postgres::Connection c({.url = database.url(), .what = "test"});
    const auto refusal = postgres::RegistryStore("deja", "test").agree_on_recipes(c, {{"test", recipes}}, std::chrono::hours(1));
    EXPECT_FALSE(refusal.has_value()) << refusal->why;
  }
};

TEST_F(KeyCommand, SaysWhatBecameOfAKey) {
  const runtime::KeySettings keys{"scope", "", "", {}};
  record_recipe({{"settle", "scope", "header Idempotency-Key", "none", "none"}});
  auto rig = LaneRig::of<Settle>(database, 3, keys);
  rig.run({record("a", "x"), record("a", "other"), record("bad", "reject"), record("gone", "reject"), record("old", "reject")});
  database.value("with done as (update deja.dead_letters set status = 'discarded' where convert_from(idempotency_key, 'UTF8') = 'gone' returning 1), "
                 "late as (update deja.dead_letters set cause = 'expired' where convert_from(idempotency_key, 'UTF8') = 'old' returning 1) select 1");

  const auto processed = one("a");
  EXPECT_EQ(processed["group"], "test");
  EXPECT_EQ(processed["handler"], "settle");
  EXPECT_EQ(processed["status"], "processed");
  EXPECT_EQ(processed["topic"], "test");
  EXPECT_EQ(processed["partition"], 3);
  EXPECT_EQ(processed["offset"], 0);
  EXPECT_EQ(processed["generation"], 1);
  EXPECT_THAT(processed["at"].get<std::string>(), ::testing::EndsWith("Z"));
  EXPECT_EQ(processed["payload_digest"].get<std::string>().size(), 16U);
  EXPECT_EQ(processed["conflicts"], 1);
  EXPECT_TRUE(processed["dlq_id"].is_number()) << "that of the conflict";
  const auto outbox = database.value("select json_agg(event_id::text order by seq) from deja.outbox");
  EXPECT_EQ(processed["events"], json::parse(outbox));
  EXPECT_EQ(processed["first_event_id"], processed["events"][0]);

  EXPECT_EQ(one("bad")["status"], "dead");
  EXPECT_EQ(one("bad")["offset"], 2);
  EXPECT_TRUE(one("bad")["dlq_id"].is_number());
  EXPECT_EQ(one("gone")["status"], "discarded");
  EXPECT_EQ(one("old")["status"], "expired");
  const auto unknown = one("never --handler settle");
  EXPECT_EQ(unknown["status"], "unknown");
  EXPECT_TRUE(unknown["offset"].is_null());

  database.value("with gone as (delete from deja.keys_1 returning 1) select count(*) from gone");  // as when its generation is dropped
  EXPECT_EQ(one("a")["status"], "conflict");
  EXPECT_THAT(deja("key a").out, HasSubstr("conflict")) << "the table";
}

TEST_F(KeyCommand, FollowsTheRecordedRecipeWithItsTenantAndItsSecret) {
  const runtime::KeySettings keys{"scope", "pepper", "X-Tenant", {}};
  record_recipe({{"settle", "scope", "header Idempotency-Key", "header X-Tenant", core::secret_id("pepper")}});
  auto rig = LaneRig::of<Settle>(database, 0, keys);
  rig.run({record("a", "x")});
  EXPECT_EQ(one("a --tenant acme --set key.secret=pepper")["status"], "processed");
  EXPECT_EQ(one("a --tenant other --set key.secret=pepper")["status"], "unknown");
  const auto no_tenant = deja("key a --set key.secret=pepper", true);
  EXPECT_EQ(no_tenant.code, 64);
  EXPECT_THAT(no_tenant.out, HasSubstr("--tenant"));
  for (const auto* secret : {"", "--set key.secret=salt"}) {
    const auto refused = deja("key a --tenant acme " + std::string(secret), true);
    EXPECT_EQ(refused.code, 78);
    EXPECT_THAT(refused.out, HasSubstr("key.secret"));
    EXPECT_THAT(refused.out, ::testing::Not(HasSubstr("pepper")));
  }
}

TEST_F(KeyCommand, K1_LooksUnderThePreviousRecipeToo) {
  const core::KeyRecipe before{"settle", "scope", "header Idempotency-Key", "none", core::secret_id("old")};
  const core::KeyRecipe now{"settle-payment", "scope", "header Idempotency-Key", "none", core::secret_id("new")};
  record_recipe({before});
  auto older = LaneRig::of<Settle>(database, 0, {"scope", "old", "", {}});
  older.run({record("a", "x")});
  record_recipe({now, before});
  auto newer = LaneRig::of<Renamed>(database, 1, {"scope", "new", "", {"", "old", "", {"settle"}}});
  newer.run({record("b", "x")});
  const std::string secrets = " --set key.secret=new --set keys.previous.secret=old";
  const auto by_previous = one("a" + secrets);
  EXPECT_EQ(by_previous["status"], "processed");
  EXPECT_EQ(by_previous["recipe"], "previous");
  EXPECT_EQ(by_previous["events"].size(), 2U) << "their ids are those of the recipe that made them";
  EXPECT_EQ(one("b" + secrets)["recipe"], "now");

  EXPECT_EQ(one("never" + secrets)["status"], "unknown");
  EXPECT_EQ(one("a --set keys.previous.secret=old")["status"], "processed") << "what is found is known, whatever else cannot be looked for";
  EXPECT_EQ(one("b --set key.secret=new")["status"], "processed");
  for (const auto* half : {"never --set keys.previous.secret=old", "never --set key.secret=new"}) {
    const auto refused = deja(std::string("key ") + half, true);
    EXPECT_EQ(refused.code, 78) << half << ": it may be known by the other recipe";
    EXPECT_THAT(refused.out, HasSubstr("key.secret"));
  }
}

TEST_F(KeyCommand, NamesHandlersThatAreNotThereAndKeysThatCannotBeNamed) {
  EXPECT_EQ(deja("key a").code, 0) << "nothing ran here yet";
  const auto unknown = deja("key a --handler nobody", true);
  EXPECT_EQ(unknown.code, 65);
  EXPECT_THAT(unknown.out, HasSubstr("nobody"));
  record_recipe({{"settle", "scope", "payload", "none", "none"}});
  const auto payload = deja("key a", true);
  EXPECT_EQ(payload.code, 64);
  EXPECT_THAT(payload.out, HasSubstr("whole record"));
  EXPECT_EQ(deja("key").code, 64);
}

}  // namespace
}  // namespace deja::test
