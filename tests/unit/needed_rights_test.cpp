#include "postgres/needed_rights.h"

#include <gtest/gtest.h>

namespace deja::postgres {
namespace {

std::string needed(const std::string& statement, const std::string& name = "lanes") { return needed_rights(statement, "permission denied for table " + name); }

TEST(NeededRights, AreWhatTheStatementDoesWithTheTable) {
  EXPECT_EQ(needed("select id from \"deja\".lanes"), "select");
  EXPECT_EQ(needed("update \"de\"\"ja\".lanes set x = 1 where id = $1"), "update");
  EXPECT_EQ(needed("INSERT INTO deja.lanes (a) values (1)"), "insert");
  EXPECT_EQ(needed("delete from lanes p using back b"), "delete");
  EXPECT_EQ(needed("truncate deja.lanes"), "truncate");
  EXPECT_EQ(needed("select 1 from \"deja\".\"lanes\" where id = 1 for update"), "select, update");
  EXPECT_EQ(needed("with a as (update deja.dlq_items set x = 1), b as (delete from deja.parked p returning p.*) select 1 from deja.dlq_items i join deja.lanes l on true", "dlq_items"), "select, update");
  EXPECT_EQ(needed_rights("select seq from deja.outbox o", "permission denied for view outbox"), "select");
}

TEST(NeededRights, AreOfThatTableAlone) {
  EXPECT_EQ(needed("insert into deja.lanes_old select * from deja.lanes"), "select");
  EXPECT_EQ(needed("select lanes.id from deja.old_lanes"), "");
}

TEST(NeededRights, AreNotGuessed) {
  EXPECT_EQ(needed_rights("select 1 from deja.lanes", "permission denied for schema deja"), "");
  EXPECT_EQ(needed_rights("select 1 from deja.lanes", "keine Berechtigung"), "");
  EXPECT_EQ(needed(""), "");
  EXPECT_EQ(needed(std::string(100'000, ' ') + "update lanes set"), "");
}

}  // namespace
}  // namespace deja::postgres
