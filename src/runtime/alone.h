#pragma once

#include <condition_variable>
#include <mutex>
#include <utility>

namespace deja::runtime {

/// Who may run handlers in this process: any number of batches beside each other, or one suspect record and nothing else (R1): only then
/// does the death of the process tell which record it was. One that waits to be alone goes before batches that come after it.
class Alone {
 public:
  class [[nodiscard]] Turn {
   public:
    Turn(Alone& of, bool alone) : of_(&of), alone_(alone) {}
    Turn(Turn&& other) noexcept : of_(std::exchange(other.of_, nullptr)), alone_(other.alone_) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (of_) of_->leave(alone_);
    }

   private:
    Alone* of_;
    bool alone_;
  };

  /// Waits for its turn, which ends with the object.
  Turn enter(bool alone) {
    std::unique_lock lock(mutex_);
    if (alone) {
      ++waiting_;
      changed_.wait(lock, [this] { return together_ == 0 && !alone_; });
      --waiting_;
      alone_ = true;
    } else {
      changed_.wait(lock, [this] { return waiting_ == 0 && !alone_; });
      ++together_;
    }
    return Turn(*this, alone);
  }
  int suspects_waiting() const {
    const std::lock_guard lock(mutex_);
    return waiting_;
  }

 private:
  void leave(bool alone) {
    {
      const std::lock_guard lock(mutex_);
      if (alone) alone_ = false;
      else --together_;
    }
    changed_.notify_all();
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int together_ = 0, waiting_ = 0;
  bool alone_ = false;
};

}  // namespace deja::runtime
