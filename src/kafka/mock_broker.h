#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace deja::kafka {

/// A broker inside this process, on a loopback port, which other processes may use too. For development and tests: it keeps about
/// 5 MiB of each partition, has no topic administration and no look-up by time.
///
/// A topic comes into being with 4 partitions when a producer first names it; create() makes one beforehand, which a consumer
/// needs that is there first.
class MockBroker {
 public:
  /// Throws std::runtime_error when librdkafka cannot make one.
  MockBroker();
  ~MockBroker();
  MockBroker(const MockBroker&) = delete;
  MockBroker& operator=(const MockBroker&) = delete;

  /// For kafka.bootstrap.servers.
  std::string bootstrap_servers() const;
  void create(const std::string& topic, std::int32_t partitions);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace deja::kafka
