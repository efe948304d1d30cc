#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace deja::audit {

/// Threads that work on chunks in any order, with a bounded queue before them. The first exception ends the work and is thrown by
/// put() or finish().
template <class Chunk>
class WorkerPool {
 public:
  using Work = std::function<void(Chunk&)>;
  /// `make` runs on each thread and returns what works on its chunks.
  WorkerPool(unsigned threads, std::function<Work()> make) : bound_(threads + 1) {
    for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this, make] { run(make); });
  }
  ~WorkerPool() { stop(true); }

  void put(Chunk chunk) {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [&] { return chunks_.size() < bound_ || error_; });
    if (error_) std::rethrow_exception(error_);
    chunks_.push_back(std::move(chunk));
    work_.notify_one();
  }
  void finish() {
    stop(false);
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void stop(bool at_once) {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      if (at_once) chunks_.clear();
    }
    work_.notify_all();
    for (auto& thread : threads_)
      if (thread.joinable()) thread.join();
  }
  void run(const std::function<Work()>& make) {
    try {
      const auto work = make();
      for (;;) {
        std::unique_lock lock(mutex_);
        work_.wait(lock, [&] { return stopping_ || !chunks_.empty() || error_; });
        if (error_ || chunks_.empty()) return;
        auto chunk = std::move(chunks_.front());
        chunks_.pop_front();
        lock.unlock();
        room_.notify_one();
        work(chunk);
      }
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!error_) error_ = std::current_exception();
      chunks_.clear();
    }
    room_.notify_all();
    work_.notify_all();
  }

  const std::size_t bound_;
  std::mutex mutex_;
  std::condition_variable work_, room_;
  std::deque<Chunk> chunks_;
  std::exception_ptr error_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace deja::audit
