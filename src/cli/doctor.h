#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "postgres/admin.h"

namespace deja::cli {

enum class Status { ok, warn, fail };
std::string_view word(Status status);

struct Finding {
  std::string check;
  Status status = Status::ok;
  std::string detail, remedy;
};

class Findings {
 public:
  void ok(std::string check, std::string detail) { all_.push_back({std::move(check), Status::ok, std::move(detail), ""}); }
  void warn(std::string check, std::string detail, std::string remedy) { all_.push_back({std::move(check), Status::warn, std::move(detail), std::move(remedy)}); }
  void fail(std::string check, std::string detail, std::string remedy) { all_.push_back({std::move(check), Status::fail, std::move(detail), std::move(remedy)}); }

  const std::vector<Finding>& all() const { return all_; }
  bool failed() const;
  std::string names_of_failed() const;

 private:
  std::vector<Finding> all_;
};

/// What the checks of Kafka need of the database; empty when the database could not be asked.
struct DatabaseFacts {
  bool known = false;
  std::vector<postgres::HandlerRow> handlers;
  std::vector<postgres::LaneRow> lanes;
  std::vector<std::string> event_topics;
};

DatabaseFacts check_postgres(const config::Config& config, const std::string& group, Findings& findings);
void check_kafka(const config::Config& config, const std::string& group, const DatabaseFacts& facts, Findings& findings);

}  // namespace deja::cli
