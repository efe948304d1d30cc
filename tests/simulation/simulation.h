#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <vector>

#include "core/clock.h"
#include "simulation/checker.h"
#include "simulation/database.h"
#include "simulation/decisions.h"
#include "simulation/scenario.h"

namespace deja::simulation {

class Lane;
class Process;

class VirtualClock final : public core::Clock {
 public:
  Time now() const override { return now_; }
  void move_to(Time time) { now_ = time; }

 private:
  Time now_{};
};

struct Verdict {
  std::optional<std::string> violation;
  std::vector<std::string> trace;
  std::size_t records = 0;
  milliseconds virtual_time{0};
};

/// One schedule: a group of processes over one log and one database, until each record has its disposition. Time is virtual, and all
/// that happens follows from the seed.
class Simulation {
 public:
  Simulation(const Scenario& scenario, const Decisions& decisions, bool traced);
  ~Simulation();
  Verdict run();

  Time now() const { return clock_.now(); }
  Dice& dice() { return dice_; }
  const Settings& settings() const { return scenario_.settings; }
  const Decisions& decisions() const { return decisions_; }
  Database& database() { return database_; }
  Checker& checker() { return checker_; }
  /// Those of a lane, in the order of the log.
  const std::vector<const LogRecord*>& records_of(std::size_t lane) const { return records_[lane]; }

  void at(Time when, std::function<void()> what);
  void after(milliseconds delay, std::function<void()> what) { at(now() + delay, std::move(what)); }
  template <typename Text>
  void trace(int process, const Text& what) {
    if (traced_) note(process, what());
  }

  /// By the record's script; none: the call ends the process.
  Answer answer_to(const LogRecord& record, std::int32_t attempt);
  void end(Process& process);
  void lane_closed(std::int32_t partition);
  /// The start of a record of the lane is on record; nothing: the lane has another owner from now on.
  void tried_alone(std::size_t lane, const LogRecord* record);
  /// It had its result, or its start was taken back.
  void not_tried_alone(std::size_t lane) { tried_alone_[lane] = nullptr; }

 private:
  struct Event {
    Time time;
    std::uint64_t order;
    std::function<void()> what;
    bool operator<(const Event& other) const { return time != other.time ? time > other.time : order > other.order; }
  };
  struct Partition {
    Process* owner = nullptr;
    std::uint64_t assignment = 0;
  };

  void set_up();
  std::size_t lane_number(std::int32_t partition, std::int32_t lane) const {
    return static_cast<std::size_t>(partition) * static_cast<std::size_t>(settings().lanes) + static_cast<std::size_t>(lane);
  }
  bool is_away(int dependency) const;
  void start_process();
  void find_owner(std::int32_t partition, const Process* not_this = nullptr);
  void assign(std::int32_t partition, Process& process);
  void revoke(std::int32_t partition);
  void give_up(std::int32_t partition);
  void happen(const Fault& fault);
  void freeze(Process& process, milliseconds lasts);
  void leave(Process& process);
  void order(const Fault& fault);
  Process* some_process();
  void note(int process, const std::string& what);

  const Scenario& scenario_;
  const Decisions& decisions_;
  const bool traced_;
  VirtualClock clock_;
  Dice dice_;
  Database database_;
  Checker checker_;
  std::vector<std::vector<const LogRecord*>> records_;
  std::vector<const LogRecord*> tried_alone_;  // by lane
  std::vector<std::int32_t> kills_;
  std::vector<std::unique_ptr<Process>> processes_;
  std::vector<Partition> partitions_;
  std::priority_queue<Event> events_;
  std::uint64_t event_count_ = 0;
  std::vector<std::string> trace_;
};

/// The schedule of a seed.
Verdict run_schedule(std::uint64_t seed, const Decisions& decisions, bool traced = false);

}  // namespace deja::simulation
