#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "kafka/consumer.h"
#include "runtime/context.h"
#include "runtime/kafka_view.h"
#include "runtime/lane.h"
#include "runtime/seat.h"

// The polling thread: a member of the consumer group that never waits for the database.

namespace deja::runtime {

class Intake final : public KafkaView, public kafka::GroupListener {
 public:
  using Settings = std::vector<std::pair<std::string, std::string>>;
  /// What the engine provides for a partition of the assignment.
  struct Lanes {
    std::function<Seat(const kafka::Partition&, std::uint64_t assignment)> make;
    std::function<void(const std::shared_ptr<Lane>&)> wake;
  };
  struct Options {
    std::string group, client_id;
    Settings settings;
    std::vector<std::string> topics;
    std::chrono::milliseconds drain_timeout{30000};
    std::chrono::milliseconds leave_after{150000};  // without Postgres
  };

  Intake(const Context& context, Options options, Lanes lanes);
  ~Intake() override;

  kafka::Consumer& consumer() { return *consumer_; }
  void start();
  /// Closes all lanes within the drain time-out and leaves the group. Any thread; returns at once.
  void request_stop();
  /// Waits for the end. False: the drain was cut short.
  bool join();
  bool finished() const { return finished_; }

  /// The lanes of the current assignment. Any thread.
  std::vector<std::shared_ptr<Lane>> lanes() const;
  kafka::Watermarks watermarks_seen(const kafka::Partition& partition) const { return consumer_->cached_watermarks(partition); }

  std::optional<std::int64_t> committed(const kafka::Partition& partition) override;
  std::optional<kafka::CommittedOffset> committed_mark(const kafka::Partition& partition) override;
  std::optional<kafka::Watermarks> watermarks(const kafka::Partition& partition) override;
  std::optional<int> partition_count(const std::string& topic) override;
  void start_fetching(const kafka::Partition& partition, std::uint64_t assignment, const Start& start) override;
  void lane_closed(const kafka::Partition& partition, std::uint64_t assignment) override;

  // of the group; on the polling thread
  void assigned(const kafka::Partitions& partitions) override;
  void revoked(const kafka::Partitions& partitions, bool lost) override;
  Refetch refetched(const kafka::Partition& partition) override;
  void group_error(const std::string& error, bool fatal) override;

 private:
  struct Revocation {
    kafka::Partitions partitions;
    core::Steady::time_point deadline;
  };

  void run();
  void dispatch(kafka::Polled polled);
  void accept(core::SourceRecord record);
  void reach_end(const kafka::EndOfPartition& end);
  void stop_partition(const kafka::Partition& partition, Seat& seat, const std::string& error, bool certain);
  bool in_log_order(Seat& seat, const kafka::Partition& partition, std::int64_t offset);
  void serve_requests();
  void begin(const kafka::Partition& partition, std::uint64_t assignment, const Start& start);
  void fetch(const kafka::Partition& partition, std::uint64_t assignment);
  void apply_back_pressure();
  void commit_offsets(bool wait);
  void finish_revocation();
  void leave_or_join_again();
  void drop_seats(const kafka::Partitions& partitions);
  bool all_closed(const kafka::Partitions& partitions) const;
  void request(std::function<void()> action);
  Seat* seat_of(std::string_view topic, std::int32_t partition);

  const Context& context_;
  const Options options_;
  const Lanes lanes_;
  std::unique_ptr<kafka::Consumer> consumer_;
  std::map<kafka::Partition, Seat> seats_;  // changed by the polling thread alone, under seats_mutex_
  mutable std::mutex seats_mutex_;
  std::optional<Revocation> revocation_;  // asked for and not yet answered
  std::mutex requests_mutex_;
  std::vector<std::function<void()>> requests_;
  std::atomic<bool> has_requests_{false}, stop_requested_{false}, finished_{false}, clean_{true};
  std::deque<std::pair<core::Steady::time_point, std::function<void()>>> retries_;
  std::uint64_t next_assignment_ = 1;
  bool left_ = false;  // the group, for want of Postgres
  core::Steady::time_point last_offset_commit_{}, stop_by_{};
  std::pair<kafka::Partition, Seat*> last_seat_;
  core::FramedHash hash_;
  std::thread thread_;
};

}  // namespace deja::runtime
