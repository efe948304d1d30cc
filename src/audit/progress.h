#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace deja::audit {

/// A bar on stderr, when that is a terminal.
class Progress {
 public:
  explicit Progress(bool wanted);
  ~Progress() { clear(); }
  void begin(std::string what, std::int64_t total);
  void at(std::int64_t done);
  void clear();

 private:
  bool shown_;
  bool drawn_ = false;
  std::string what_;
  std::int64_t total_ = 0;
  std::chrono::steady_clock::time_point begun_{};
};

}  // namespace deja::audit
