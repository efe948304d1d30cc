#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "postgres/abandoned_lanes.h"
#include "postgres/registry_store.h"
#include "runtime/context.h"
#include "runtime/intake.h"
#include "runtime/replays.h"

// Looks after what no lane can see of itself: rows that moved (L4), gauges, published segments, whether Kafka answers.

namespace deja::runtime {

class Supervisor {
 public:
  Supervisor(const Context& context, Intake& intake, const postgres::RegistryStore& registry, std::string instance,
             std::vector<std::pair<std::string, std::string>> topics_and_handlers, std::vector<postgres::Registration> registrations);
  ~Supervisor() { stop(); }
  void start();
  void stop();

 private:
  void run();
  void look_at_rows();
  void advance_idle_lanes();
  void measure_lanes();
  void show_pauses();
  void sync_breakers(bool measure);
  void sync_floods(bool measure);
  void enter();
  void leave();
  void report_deliveries(bool measure);
  void measure_database();
  void measure_abandoned_lanes();
  void tidy_outbox();
  postgres::Connection& connection();

  const Context& context_;
  Intake& intake_;
  const postgres::RegistryStore& registry_;
  const std::string instance_;
  const std::vector<std::pair<std::string, std::string>> topics_and_handlers_;
  const std::vector<postgres::Registration> registrations_;
  const postgres::AbandonedLanes abandoned_;
  std::map<std::string, int> abandoned_shown_;  // topics whose gauge is exported
  bool entered_ = false;
  std::unique_ptr<postgres::Connection> connection_;
  struct Stall {
    std::int64_t next_offset = -1;
    core::Steady::time_point since;
  };
  std::map<kafka::Partition, Stall> stalls_;
  std::set<kafka::Partition> shown_;                            // partitions whose gauges are exported
  std::map<std::int32_t, std::string> pauses_in_rows_;          // by the row's id
  std::vector<core::BreakerStatus> breakers_in_rows_;
  std::vector<core::FloodStatus> floods_in_rows_;
  Replays replays_;
  core::Steady::time_point next_advance_{};
  std::set<std::pair<std::string, std::string>> shown_pauses_;  // topic, cause
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace deja::runtime
