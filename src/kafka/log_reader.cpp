#include "kafka/log_reader.h"

#include <algorithm>
#include <map>

#include <deja/errors.h>

#include "kafka/client.h"
#include "kafka/message.h"

namespace deja::kafka {

namespace {
using Clock = std::chrono::steady_clock;

std::string name_of(const Partition& p) { return p.topic + "/" + std::to_string(p.number); }

struct Position {
  std::int64_t from, at, until;
  bool done = false;
};
}  // namespace

class LogReading::Impl {
 public:
  Impl(const Settings& settings, const std::vector<LogSlice>& slices) : client_(make_client(RD_KAFKA_CONSUMER, make_conf(settings))) {
    rd_kafka_poll_set_consumer(client_.get());
    const ListPointer list(rd_kafka_topic_partition_list_new(static_cast<int>(slices.size())));
    for (const auto& slice : slices) {
      if (slice.from >= slice.until) continue;
      rd_kafka_topic_partition_list_add(list.get(), slice.partition.topic.c_str(), slice.partition.number)->offset = slice.from;
      positions_[slice.partition] = {slice.from, slice.from, slice.until};
    }
    open_ = positions_.size();
    if (open_ > 0) check(rd_kafka_assign(client_.get(), list.get()));
  }
  ~Impl() { rd_kafka_consumer_close(client_.get()); }

  bool open() const { return open_ > 0; }

  std::int64_t passed() const {
    std::int64_t sum = 0;
    for (const auto& [partition, p] : positions_) sum += std::min(p.at, p.until) - p.from;
    return sum;
  }

  /// False: nothing came.
  bool poll(const std::function<void(core::SourceRecord)>& visit) {
    MessagePointer message(rd_kafka_consumer_poll(client_.get(), 100));
    if (!message) return false;
    if (!message->rkt) {  // of the client as a whole; librdkafka goes on trying
      last_error_ = rd_kafka_message_errstr(message.get());
      return false;
    }
    auto& position = position_of(*message);
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
      // What lay between the last record and the end was markers and aborted records. An end before the wanted one is that of an open
      // transaction: it will move.
      position.at = std::max(position.at, message->offset);
      if (position.at >= position.until) finish(*message, position);
      return true;
    }
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      const char* reason = rd_kafka_message_errstr(message.get());
      last_error_ = std::string(rd_kafka_topic_name(message->rkt)) + "/" + std::to_string(message->partition) + ": " +
                    (reason ? reason : rd_kafka_err2str(message->err));
      return false;
    }
    if (position.done) return true;  // fetched before it was paused
    position.at = message->offset + 1;
    const bool wanted = message->offset < position.until;
    if (position.at >= position.until) finish(*message, position);
    if (wanted) visit(to_record(std::move(message)));
    return true;
  }

  const std::string& last_error() const { return last_error_; }
  std::string waiting_for() const {
    for (const auto& [partition, p] : positions_)
      if (!p.done) return name_of(partition) + " from offset " + std::to_string(p.at) + " on";
    return {};
  }

 private:
  static void check(rd_kafka_resp_err_t error) {
    if (error) throw Stop(exit_code::defect, std::string("cannot read the log: ") + rd_kafka_err2str(error));
  }
  Position& position_of(const rd_kafka_message_t& message) {
    if (last_topic_ != message.rkt || last_partition_ != message.partition) {
      last_topic_ = message.rkt;
      last_partition_ = message.partition;
      last_ = &positions_.at({rd_kafka_topic_name(message.rkt), message.partition});
    }
    return *last_;
  }
  void finish(const rd_kafka_message_t& message, Position& position) {
    if (position.done) return;
    position.done = true;
    --open_;
    const ListPointer list(rd_kafka_topic_partition_list_new(1));
    rd_kafka_topic_partition_list_add(list.get(), rd_kafka_topic_name(message.rkt), message.partition);
    rd_kafka_pause_partitions(client_.get(), list.get());
  }

  ClientPointer client_;
  std::map<Partition, Position> positions_;
  std::size_t open_ = 0;
  std::string last_error_;
  const rd_kafka_topic_t* last_topic_ = nullptr;
  std::int32_t last_partition_ = -1;
  Position* last_ = nullptr;
};

LogReading::LogReading(const Settings& settings, const std::vector<LogSlice>& slices) : impl_(std::make_unique<Impl>(settings, slices)) {}
LogReading::~LogReading() = default;

LogReader::LogReader(Settings given, std::string group) {
  settings_ = {{"fetch.wait.max.ms", "50"}, {"socket.keepalive.enable", "true"}, {"reconnect.backoff.max.ms", "2000"}};
  if (rd_kafka_version() >= 0x02020000)
    settings_.insert(settings_.end(), {{"queued.min.messages", "100000"}, {"queued.max.messages.kbytes", "65536"}, {"fetch.queue.backoff.ms", "20"}});
  else  // a full queue is looked at again after a second: it must hold what is read in one
    settings_.insert(settings_.end(), {{"queued.min.messages", "1000000"}, {"queued.max.messages.kbytes", "131072"}});
  for (auto& [key, value] : given)
    if (key != "group.instance.id") settings_.emplace_back(std::move(key), std::move(value));
  settings_.insert(settings_.end(), {{"group.id", group.empty() ? "deja" : group}, {"enable.auto.commit", "false"}, {"enable.auto.offset.store", "false"},
                                     {"auto.offset.reset", "earliest"},  // what retention removes meanwhile is not asked for
                                     {"enable.partition.eof", "true"}, {"isolation.level", "read_committed"}, {"max.poll.interval.ms", "86400000"}});
}

void LogReading::run(const std::function<void(core::SourceRecord)>& visit, const std::function<void(std::int64_t)>& progress,
                     std::chrono::milliseconds patience) {
  auto& reading = *impl_;
  auto last = Clock::now(), told = last;
  for (unsigned polls = 0; reading.open(); ++polls) {
    const bool came = reading.poll(visit);
    if (came && polls % 1024 != 0) continue;
    const auto now = Clock::now();
    if (came) last = now;
    if (now - told > std::chrono::milliseconds(200)) {
      told = now;
      progress(reading.passed());
    }
    if (now - last > patience)
      throw Stop(exit_code::try_again, "Kafka gives no more records of " + reading.waiting_for() + (reading.last_error().empty() ? "" : ": " + reading.last_error()));
  }
  progress(reading.passed());
}

}  // namespace deja::kafka
