#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/log.h"
#include "core/metrics.h"
#include "core/status.h"

namespace deja::runtime {

/// Which dependencies are away, and why. Any thread. Logs and measures each change once.
class Dependencies {
 public:
  Dependencies(core::Log& log, core::Metrics& metrics) : log_(log), metrics_(metrics) {}
  void up(std::string_view name);
  void down(std::string_view name, std::string_view cause);
  /// Nobody needs it here any more, so nobody knows.
  void forget(std::string_view name);
  std::vector<core::DependencyStatus> all() const;
  /// Zero while it is up, or not known.
  std::chrono::milliseconds away_for(std::string_view name) const;

 private:
  core::Log& log_;
  core::Metrics& metrics_;
  mutable std::mutex mutex_;
  std::map<std::string, core::DependencyStatus, std::less<>> known_;
  std::map<std::string, std::chrono::steady_clock::time_point, std::less<>> away_since_;
};

}  // namespace deja::runtime
