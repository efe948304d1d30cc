#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <thread>

#include <deja/errors.h>

#include "postgres/connection.h"
#include "postgres/errors.h"
#include "postgres/inspection.h"
#include "postgres/migrations.h"

namespace deja::postgres {
namespace {

/// A database of its own on the server of $DEJA_POSTGRES.
class Migrate : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* url = std::getenv("DEJA_POSTGRES");
    if (url == nullptr) GTEST_SKIP() << "DEJA_POSTGRES is not set";
    server_ = url;
    Connection connection({.url = server_, .what = "test"});
    name_ = "deja_migrate_" + std::to_string(connection.backend_pid());
    connection.exec("drop database if exists " + name_);
    connection.exec("create database " + name_);
    url_ = with_database(server_, name_);
  }
  void TearDown() override {
    if (!name_.empty()) Connection({.url = server_, .what = "test"}).exec("drop database if exists " + name_ + " with (force)");
  }
  std::unique_ptr<Connection> connect() const { return std::make_unique<Connection>(ConnectionOptions{.url = url_, .what = "test"}); }

  std::string server_, name_, url_;
};

int stop_code(const std::function<void()>& work, std::string* text = nullptr) {
  try {
    work();
  } catch (const Stop& stop) {
    if (text != nullptr) *text = stop.what();
    return stop.exit_code();
  }
  return 0;
}

TEST_F(Migrate, MakesTheSchemaAndChangesNothingWhenRunAgain) {
  const auto connection = connect();
  EXPECT_FALSE(current_version(*connection, "deja"));
  const auto first = migrate(*connection, "deja", false);
  EXPECT_EQ(first.version_before, 0);
  EXPECT_EQ(first.version_after, schema_version());
  EXPECT_EQ(first.applied.size(), static_cast<std::size_t>(schema_version()));
  const auto second = migrate(*connection, "deja", false);
  EXPECT_EQ(second.version_before, schema_version());
  EXPECT_TRUE(second.applied.empty());
  check_schema(*connection, "deja");
  EXPECT_TRUE(missing_rights(*connection, "deja").empty());
  EXPECT_TRUE(commit_guard_present(*connection, "deja"));
}

TEST_F(Migrate, ShowsWhatItWouldDoWithoutDoingIt) {
  const auto connection = connect();
  const auto result = migrate(*connection, "deja", true);
  EXPECT_EQ(result.version_after, schema_version());
  EXPECT_NE(result.sql.at(0).find("create schema"), std::string::npos);
  EXPECT_FALSE(current_version(*connection, "deja"));
}

TEST_F(Migrate, RunByManyAtOnceAppliesEachStepOnce) {
  std::vector<std::thread> threads;
  std::atomic<int> applied = 0;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      const auto connection = connect();
      applied += static_cast<int>(migrate(*connection, "deja", false).applied.size());
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(applied, schema_version());
}

TEST_F(Migrate, WorksUnderADatabaseDefaultOfSerializableAndReadOnly) {
  connect()->exec("alter database " + name_ + " set default_transaction_isolation = serializable; alter database " + name_ +
                  " set default_transaction_read_only = on");
  const auto connection = connect();
  migrate(*connection, "deja", false);
  check_schema(*connection, "deja");
}

TEST_F(Migrate, TakesAnySchemaNameAndAnEmptySchema) {
  const auto connection = connect();
  connection->exec("create schema \"Odd \"\"name\"");
  migrate(*connection, "Odd \"name", false);
  check_schema(*connection, "Odd \"name");
}

TEST_F(Migrate, LeavesASchemaOfSomebodyElseAlone) {
  const auto connection = connect();
  connection->exec("create schema deja; create table deja.mine (x int)");
  std::string text;
  EXPECT_EQ(stop_code([&] { migrate(*connection, "deja", false); }, &text), exit_code::configuration);
  for (const auto* words : {"not deja's", "--set postgres.schema=", "deja migrate", "RENAME TO"}) EXPECT_NE(text.find(words), std::string::npos) << text;
  EXPECT_EQ(stop_code([&] { check_schema(*connection, "deja"); }), exit_code::configuration);
}

TEST_F(Migrate, IsNamedWhereTheSchemaIsMissing) {
  const auto connection = connect();
  std::string text;
  EXPECT_EQ(stop_code([&] { check_schema(*connection, "deja"); }, &text), exit_code::configuration);
  EXPECT_NE(text.find("deja migrate"), std::string::npos) << text;
}

TEST_F(Migrate, RefusesASchemaThatNeedsANewerProgramAndAcceptsOneThatDoesNot) {
  const auto connection = connect();
  migrate(*connection, "deja", false);
  const auto next = std::to_string(schema_version() + 1);
  connection->exec("insert into deja.schema_version (version, name, oldest_binary) values (" + next + ", 'later', 1)");
  check_schema(*connection, "deja");
  EXPECT_TRUE(migrate(*connection, "deja", false).applied.empty());
  connection->exec("update deja.schema_version set oldest_binary = " + next + " where version = " + next);
  std::string text;
  EXPECT_EQ(stop_code([&] { check_schema(*connection, "deja"); }, &text), exit_code::configuration);
  for (const auto* words : {"newer build", "deja version", "postgres.schema"}) EXPECT_NE(text.find(words), std::string::npos) << text;
  EXPECT_EQ(stop_code([&] { migrate(*connection, "deja", false); }), exit_code::configuration);
}

TEST_F(Migrate, SaysWhichRightIsMissing) {
  const auto role = name_ + "_role";
  const auto owner = connect();
  owner->exec("create role " + role + " login");
  owner->exec("set role " + role);
  std::string text;
  EXPECT_EQ(stop_code([&] { migrate(*owner, "deja", false); }, &text), exit_code::no_permission);
  EXPECT_NE(text.find("may not make it"), std::string::npos) << text;
  owner->exec("reset role");
  migrate(*owner, "deja", false);
  owner->exec("set role " + role);
  EXPECT_EQ(stop_code([&] { check_schema(*owner, "deja"); }), exit_code::no_permission);
  EXPECT_FALSE(missing_rights(*owner, "deja").empty());
  owner->exec("reset role; drop role " + role);
}

TEST_F(Migrate, LeavesNothingBehindWhenAStepFails) {
  const auto connection = connect();
  connection->exec("create schema deja");
  // The first migration makes a trigger when half of its tables are there.
  connection->exec("create function pg_temp.fail() returns event_trigger language plpgsql as $$ begin raise exception 'no'; end $$");
  connection->exec("create event trigger halfway on ddl_command_end when tag in ('CREATE TRIGGER') execute function pg_temp.fail()");
  EXPECT_NE(stop_code([&] { migrate(*connection, "deja", false); }), 0);
  connection->exec("drop event trigger halfway");
  EXPECT_FALSE(current_version(*connection, "deja"));
  EXPECT_EQ(migrate(*connection, "deja", false).version_before, 0);
}

TEST_F(Migrate, ConnectionGoesOnAfterAnErrorAndOnlyALostOneIsBroken) {
  const auto connection = connect();
  connection->exec("begin");
  EXPECT_THROW(connection->exec("select * from nowhere"), std::exception);
  EXPECT_FALSE(connection->broken());
  connection->exec("rollback");
  EXPECT_EQ(connection->exec_params("select $1::text is null, $2::text", {std::nullopt, "it's"})[0][1].as<std::string>(), "it's");
  EXPECT_EQ(connection->exec("select " + connection->quote("a'b\\c"))[0][0].as<std::string>(), "a'b\\c");
  EXPECT_THROW(connection->exec_params("select $1::text", {std::string("a\0b", 3)}), std::invalid_argument);

  connect()->exec("select pg_terminate_backend(" + std::to_string(connection->backend_pid()) + ", 5000)");
  try {
    connection->exec("select 1");
    FAIL() << "a dead link answered";
  } catch (const std::exception& error) {
    EXPECT_EQ(classify(error).kind, Failure::lost_connection);
  }
  EXPECT_TRUE(connection->broken());
  EXPECT_THROW(connection->exec("select 1"), std::exception) << "it must not connect again by itself";
}

TEST_F(Migrate, ReadOnlySessionsWriteOnlyWhenToldTo) {
  Connection connection({.url = url_, .what = "test", .read_only = true});
  try {
    connection.exec("create table t (x int)");
    FAIL();
  } catch (const std::exception& error) {
    EXPECT_EQ(classify(error).kind, Failure::standby);
  }
  connection.exec("begin isolation level read committed read write");
  connection.exec("create table t (x int)");
  connection.exec("commit");
}

}  // namespace
}  // namespace deja::postgres
