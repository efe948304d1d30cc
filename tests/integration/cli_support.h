#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "postgres/connection.h"
#include "postgres/migrations.h"

// Runs the `deja` command as an operator would, on a database of its own.

namespace deja {

using nlohmann::json;
using ::testing::HasSubstr;

struct Result {
  int code = -1;
  std::string out, err;

  std::vector<json> rows() const {
    std::vector<json> all;
    std::istringstream lines(out);
    for (std::string line; std::getline(lines, line);) all.push_back(json::parse(line));
    return all;
  }
  std::string last_error() const {
    std::istringstream lines(err);
    std::string last;
    for (std::string line; std::getline(lines, line);) last = line;
    return last;
  }
};

inline std::string read_file(const std::string& name) {
  std::ifstream in(name, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class Cli : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* url = std::getenv("DEJA_POSTGRES");
    const char* kafka = std::getenv("DEJA_KAFKA");
    if (url == nullptr || kafka == nullptr) GTEST_SKIP() << "DEJA_POSTGRES or DEJA_KAFKA is not set";
    server_ = url;
    name_ = "deja_cli_" + std::to_string(::getpid());
    postgres::Connection connection({.url = server_, .what = "test"});
    connection.exec("drop database if exists " + name_);
    connection.exec("create database " + name_);
    url_ = postgres::with_database(server_, name_);
    char folder[] = "/tmp/deja-cli-test-XXXXXX";
    folder_ = ::mkdtemp(folder);
  }
  void TearDown() override {
    if (name_.empty()) return;
    postgres::Connection({.url = server_, .what = "test"}).exec("drop database if exists " + name_ + " with (force)");
    std::system(("rm -rf " + folder_).c_str());
  }

  // `arguments` as a shell reads them.
  Result deja(const std::string& arguments, const std::string& before = "") {
    const auto command = "cd " + folder_ + " && DEJA_POSTGRES='" + url_ + "' " + before + " timeout 90 " DEJA_BIN_DIR "/deja " + arguments + " > out 2> err";
    const int status = std::system(command.c_str());
    return {WEXITSTATUS(status), read_file(folder_ + "/out"), read_file(folder_ + "/err")};
  }
  void migrate() { ASSERT_EQ(deja("migrate").code, 0); }
  void sql(const std::string& text) { postgres::Connection({.url = url_, .what = "test"}).exec(text); }
  /// Rows as a psql would show them: columns by commas, rows by lines.
  std::string ask(const std::string& query) {
    std::string text;
    for (const auto& row : postgres::Connection({.url = url_, .what = "test"}).exec(query)) {
      if (!text.empty()) text += '\n';
      for (std::size_t i = 0; i < static_cast<std::size_t>(row.size()); ++i) {
        const auto field = row[static_cast<pqxx::row::size_type>(i)];
        text += (i == 0 ? "" : ",") + std::string(field.is_null() ? "null" : field.c_str());
      }
    }
    return text;
  }
  void write(const std::string& name, const std::string& text) { std::ofstream(folder_ + "/" + name, std::ios::binary) << text; }
  std::string topic(const std::string& what) const { return name_ + "_" + what; }

  std::string server_, name_, url_, folder_;
};

}  // namespace deja
