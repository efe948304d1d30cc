#pragma once

#include <functional>
#include <thread>

namespace deja {

/// SIGTERM and SIGINT: the first calls `drain` on a thread of its own, a second one ends the process at once. Blocks both (and
/// SIGPIPE is ignored) from construction on, so it is made before any other thread.
class Signals {
 public:
  Signals();
  ~Signals();
  void on_stop(std::function<void()> drain);

 private:
  void run(const std::function<void()>& drain);
  std::thread thread_;
};

}  // namespace deja
