#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/clock.h"

namespace deja::runtime {

class Worker;

/// When a task wants to run again. A wake() comes before any of it.
struct Next {
  enum class When { idle, now, at } when = When::idle;
  core::Steady::time_point time{};
  static Next idle() { return {}; }
  static Next now() { return {When::now, {}}; }
  static Next at(core::Steady::time_point t) { return {When::at, t}; }
};

/// Something that is worked by one thread at a time: a lane.
class Task {
 public:
  virtual ~Task() = default;
  virtual Next step(Worker& worker) = 0;

 private:
  friend class Scheduler;
  enum class State { idle, ready, running } state_ = State::idle;
  bool woken_ = false;            // while it ran
  std::uint64_t timer_ = 0;       // the one that counts; older ones are stale
};

/// Workers take ready tasks in order of their wake-ups. Lifecycle: constructed idle, start(), stop() (waits for steps in progress).
class Scheduler {
 public:
  using TaskPointer = std::shared_ptr<Task>;
  ~Scheduler() { stop(); }
  /// `make_worker` runs on each thread.
  void start(std::size_t threads, const std::function<std::unique_ptr<Worker>()>& make_worker);
  void stop();
  /// No new steps; false when some still run at `deadline` (stop() would wait for them).
  bool stop(core::Steady::time_point deadline);

  /// The task runs as soon as a worker is free; once more if it runs already. Any thread.
  void wake(const TaskPointer& task);
  /// Runs at `time` unless it is woken earlier.
  void wake_at(const TaskPointer& task, core::Steady::time_point time);

 private:
  struct Timer {
    std::uint64_t number;
    std::weak_ptr<Task> task;
  };
  void work(const std::function<std::unique_ptr<Worker>()>& make_worker);
  void make_ready(const TaskPointer& task);
  void set_timer(const TaskPointer& task, core::Steady::time_point time);
  void fire_timers(core::Steady::time_point now);

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<TaskPointer> ready_;
  std::multimap<core::Steady::time_point, Timer> timers_;
  std::uint64_t next_timer_ = 1;
  bool stopping_ = false;
  std::size_t running_ = 0;
  std::condition_variable quiet_;
  std::vector<std::thread> threads_;
};

}  // namespace deja::runtime
