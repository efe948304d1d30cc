#include "postgres/databases.h"

namespace deja::postgres {

void create_database(Connection& c, const std::string& name) { c.exec("create database " + c.quote_name(name)); }

void drop_database(Connection& c, const std::string& name) {
  c.exec_params("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", {name});
  c.exec("drop database if exists " + c.quote_name(name));
}

}  // namespace deja::postgres
