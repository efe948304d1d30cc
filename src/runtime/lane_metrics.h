#pragma once

#include <map>
#include <string>

#include "core/metrics.h"
#include "runtime/batch.h"

namespace deja::runtime {

/// The instruments of one topic and handler, resolved once.
class LaneMetrics {
 public:
  LaneMetrics(core::Metrics& metrics, const std::string& topic, const std::string& handler);
  void committed(const BatchResult& result, const std::vector<PreparedRecord>& records);
  void unavailable() { unavailable_.add(); }
  void redelivered() { redelivered_.add(); }
  void stale() { stale_.add(); }
  void fenced() { fenced_.add(); }

 private:
  core::Metrics& metrics_;
  const std::string topic_, handler_;
  core::Counter &redeliveries_, &discarded_, &processed_, &duplicate_, &conflict_, &dead_, &producer_, &replay_, &redelivered_, &ok_, &failed_, &rejected_, &unavailable_, &stale_, &fenced_;
  core::Histogram &duplicate_age_, &replay_age_, &handler_seconds_, &commit_seconds_, &claim_seconds_, &latency_, &batch_records_;
};

}  // namespace deja::runtime
