#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/json_lines.h"

namespace deja::kafka {

struct SentRecord {
  std::string topic;
  std::int32_t partition = 0;
  std::int64_t offset = 0;
};

/// Sends records in order with the idempotent producer (acks=all, Java's partitioner) and tells of each where it went, in order.
/// Memory is bounded however many records there are: send() waits while too much is under way.
///
/// Threading: one thread. After an error nothing more is sent.
class RecordSender {
 public:
  using Settings = std::vector<std::pair<std::string, std::string>>;
  using Report = std::function<void(const SentRecord&)>;
  /// `timeout`: how long a record may wait for Kafka. Throws Stop (78) for settings that librdkafka refuses.
  RecordSender(const Settings& settings, std::chrono::milliseconds timeout, Report report);
  ~RecordSender();
  RecordSender(const RecordSender&) = delete;
  RecordSender& operator=(const RecordSender&) = delete;

  /// Throws Stop when Kafka stays away (69), refuses access (77) or does not know the topic (69) after a creation was given time.
  void wait_for_topic(const std::string& topic);
  /// Throws Stop when Kafka refuses this record or one before it.
  void send(const core::RecordLine& record);
  /// Waits until everything is reported; throws like send().
  void finish();
  /// Records that Kafka has for certain.
  std::int64_t delivered() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace deja::kafka
