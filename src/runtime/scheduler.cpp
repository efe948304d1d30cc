#include "runtime/scheduler.h"

#include "runtime/worker.h"

namespace deja::runtime {

void Scheduler::start(std::size_t threads, const std::function<std::unique_ptr<Worker>()>& make_worker) {
  for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this, make_worker] { work(make_worker); });
}

void Scheduler::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (auto& t : threads_)
    if (t.joinable()) t.join();
  threads_.clear();
  const std::lock_guard lock(mutex_);
  ready_.clear();  // lanes hold messages, which must go before their client
  timers_.clear();
}

bool Scheduler::stop(core::Steady::time_point deadline) {
  {
    std::unique_lock lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
    if (!quiet_.wait_until(lock, deadline, [this] { return running_ == 0; })) return false;
  }
  stop();
  return true;
}

void Scheduler::wake(const TaskPointer& task) {
  const std::lock_guard lock(mutex_);
  make_ready(task);
}

void Scheduler::wake_at(const TaskPointer& task, core::Steady::time_point time) {
  const std::lock_guard lock(mutex_);
  if (task->state_ == Task::State::idle) set_timer(task, time);
}

void Scheduler::make_ready(const TaskPointer& task) {
  if (task->state_ == Task::State::running) {
    task->woken_ = true;
  } else if (task->state_ == Task::State::idle) {
    task->state_ = Task::State::ready;
    task->timer_ = 0;
    ready_.push_back(task);
    wake_.notify_one();
  }
}

void Scheduler::set_timer(const TaskPointer& task, core::Steady::time_point time) {
  task->timer_ = next_timer_++;
  timers_.emplace(time, Timer{task->timer_, task});
  wake_.notify_one();
}

void Scheduler::fire_timers(core::Steady::time_point now) {
  while (!timers_.empty() && timers_.begin()->first <= now) {
    const auto timer = timers_.begin()->second;
    timers_.erase(timers_.begin());
    if (const auto task = timer.task.lock(); task && task->timer_ == timer.number) make_ready(task);
  }
}

void Scheduler::work(const std::function<std::unique_ptr<Worker>()>& make_worker) {
  const auto worker = make_worker();
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    fire_timers(core::Steady::now());
    if (ready_.empty()) {
      if (timers_.empty()) wake_.wait(lock);
      else wake_.wait_until(lock, core::Steady::time_point(timers_.begin()->first));  // a copy: the timer may go meanwhile
      continue;
    }
    const auto task = ready_.front();
    ready_.pop_front();
    task->state_ = Task::State::running;
    task->woken_ = false;
    ++running_;
    lock.unlock();
    const auto next = task->step(*worker);
    lock.lock();
    if (--running_ == 0) quiet_.notify_all();
    task->state_ = Task::State::idle;
    if (task->woken_ || next.when == Next::When::now) make_ready(task);
    else if (next.when == Next::When::at) set_timer(task, next.time);
  }
}

}  // namespace deja::runtime
