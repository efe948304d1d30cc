#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/clock.h"

namespace deja::runtime {

/// The handler call that one worker is in. Written by the worker, read by the watchdog.
class CallInProgress {
 public:
  /// What the calls from now on are for, in words.
  void of(std::string handler, std::string place);
  void begin(std::int64_t offset, core::Steady::time_point now);
  void end();

  /// Between its begin and its end, however that comes. `call` may be null.
  class Told {
   public:
    Told(CallInProgress* call, std::int64_t offset, core::Steady::time_point now) : call_(call) {
      if (call_) call_->begin(offset, now);
    }
    ~Told() {
      if (call_) call_->end();
    }
    Told(const Told&) = delete;
    Told& operator=(const Told&) = delete;

   private:
    CallInProgress* call_;
  };

  struct Call {
    std::string handler, place;  // the place is topic/partition
    std::int64_t offset = 0;
    core::Steady::time_point began{};
  };
  std::optional<Call> now() const;

 private:
  mutable std::mutex mutex_;
  Call call_;
  bool running_ = false;
};

/// Ends the process when a handler does not return (D5): nothing else can end a thread that hangs. The record that it hangs on is found
/// when it hangs again, alone (R1).
class Watchdog {
 public:
  /// `hangs` is called once, from the watchdog's thread, with the cause. It must not wait for the handler.
  Watchdog(std::chrono::milliseconds handler_timeout, const core::Clock& clock, std::function<void(std::string)> hangs);
  ~Watchdog() { stop(); }
  void start();
  void stop();
  /// For one worker, for as long as it lives.
  std::shared_ptr<CallInProgress> add();

 private:
  void run();
  std::optional<std::string> look() const;

  const std::chrono::milliseconds timeout_, limit_;
  const core::Clock& clock_;
  const std::function<void(std::string)> hangs_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::weak_ptr<CallInProgress>> calls_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace deja::runtime
