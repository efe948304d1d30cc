#include "testing/scratch_database.h"

#include <unistd.h>

#include <cstdlib>
#include <random>
#include <stdexcept>

#include "postgres/connection.h"
#include "postgres/databases.h"
#include "postgres/errors.h"

namespace deja::testing {

ScratchDatabase::ScratchDatabase() {
  if (const char* url = std::getenv("DEJA_POSTGRES")) {
    server_url_ = url;
  } else {
    server_ = std::make_unique<TemporaryPostgres>();
    server_url_ = server_->url();
  }
  std::random_device random;
  name_ = "deja_test_" + std::to_string(getpid()) + "_" + std::to_string(random());
  try {
    postgres::Connection c({.url = server_url_, .what = "test kit"});
    postgres::create_database(c, name_);
  } catch (const std::exception& e) {
    throw std::runtime_error("no database for the test: " + postgres::classify(e).message + " ($DEJA_POSTGRES)");
  }
  url_ = postgres::with_database(server_url_, name_);
}

ScratchDatabase::~ScratchDatabase() {
  try {
    postgres::Connection c({.url = server_url_, .what = "test kit"});
    postgres::drop_database(c, name_);
  } catch (const std::exception&) {  // the server is gone, and the database with it
  }
}

}  // namespace deja::testing
