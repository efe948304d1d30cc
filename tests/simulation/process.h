#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "core/breaker.h"
#include "simulation/decisions.h"

namespace deja::simulation {

class Lane;
class Simulation;

/// What the lanes of one process share, as src/runtime has it: turns to be alone, breakers, what is to be reported.
class Process {
 public:
  Process(Simulation& simulation, int number) : simulation_(simulation), number_(number) {}
  ~Process();

  int number() const { return number_; }
  bool alive = true, leaving = false;
  Time frozen_until{};
  std::vector<std::unique_ptr<Lane>> lanes;  // those that it gave up, too
  std::int64_t unreported = 0;               // first deliveries

  /// Once a second: reports, and looks at the rows of its lanes.
  void supervise();

  /// False: it has to wait, and is told when its turn has come.
  bool enter(Lane& lane, bool alone);
  void leave(bool alone);

  core::Breaker::Turn ask(int dependency, core::Breaker::Caller caller, Time now);
  core::BreakerState failed(int dependency, core::Breaker::Caller caller, Time now, double chance);
  void succeeded(int dependency, core::Breaker::Caller caller);
  void give_back(int dependency, core::Breaker::Caller caller);
  void left(int dependency, core::Breaker::Caller caller);

 private:
  struct Entry {
    core::Breaker breaker;
    std::set<core::Breaker::Caller> callers;
  };
  struct Waiting {
    Lane* lane;
    bool alone;
  };
  Entry& entry(int dependency);
  bool may_enter(bool alone) const;

  Simulation& simulation_;
  const int number_;
  std::map<int, Entry> breakers_;
  std::deque<Waiting> queue_;
  int together_ = 0;
  bool alone_ = false;
};

}  // namespace deja::simulation
