#include <gtest/gtest.h>

#include "postgres/migrations.h"
#include "postgres/sql.h"

namespace deja::postgres {
namespace {

TEST(Migrations, AreNumberedFromOneWithoutGaps) {
  int expected = 1;
  for (const auto& migration : migrations()) {
    EXPECT_EQ(migration.version, expected++);
    EXPECT_EQ(version_of_name(migration.name), migration.version);
  }
  EXPECT_EQ(schema_version(), expected - 1);
  EXPECT_GE(schema_version(), 1);
}

TEST(Migrations, SayWhichProgramsGoOnWorking) {
  for (const auto& migration : migrations()) {
    EXPECT_GE(migration.oldest_binary, 1) << migration.name;
    EXPECT_LE(migration.oldest_binary, migration.version) << migration.name;
  }
  EXPECT_EQ(oldest_binary_of("-- oldest binary: 2\ncreate table x ();", 5), 2);
  EXPECT_EQ(oldest_binary_of("create table x ();", 5), 5);
}

TEST(Migrations, QualifyEveryTableTheyMake) {
  for (const auto& migration : migrations()) {
    EXPECT_EQ(migration.sql.find("create table {schema}.") == std::string_view::npos, migration.sql.find("create table ") == std::string_view::npos) << migration.name;
    EXPECT_EQ(with_schema(migration.sql, "deja").find("{schema}"), std::string::npos) << migration.name;
  }
}

TEST(Migrations, RefuseANameWithoutANumber) {
  EXPECT_THROW(version_of_name("foundation.sql"), std::logic_error);
  EXPECT_EQ(version_of_name("0012_more.sql"), 12);
}

}  // namespace
}  // namespace deja::postgres
