#include "kafka/record_sender.h"

#include <algorithm>
#include <deque>
#include <optional>

#include <deja/errors.h>

#include "kafka/client.h"

#ifdef __clang__
#pragma clang diagnostic ignored "-Wgnu-statement-expression"  // inside librdkafka's RD_KAFKA_V_ macros
#endif

namespace deja::kafka {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t max_under_way = 20'000;
constexpr std::size_t max_bytes_under_way = 32 * 1024 * 1024;
// Where the broker creates topics by itself, a new one is there within moments.
constexpr std::chrono::seconds creation_time{5};

std::size_t size_of(const std::optional<std::string>& bytes) { return bytes ? bytes->size() : 0; }

struct Pending {
  std::size_t bytes = 0;
  std::optional<SentRecord> sent;
};

int exit_code_of(rd_kafka_resp_err_t error) {
  switch (error) {
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD: return exit_code::wrong_data;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED: return exit_code::no_permission;
    default: return exit_code::unavailable;
  }
}

}  // namespace

class RecordSender::Impl {
 public:
  Impl(const Settings& settings, std::chrono::milliseconds timeout, Report report) : timeout_(timeout), report_(std::move(report)) {
    Settings all = {{"partitioner", "murmur2_random"}, {"linger.ms", "5"}, {"topic.metadata.propagation.max.ms", "5000"}};
    all.insert(all.end(), settings.begin(), settings.end());
    const auto milliseconds = std::to_string(std::max<std::int64_t>(1000, timeout.count()));
    all.insert(all.end(), {{"enable.idempotence", "true"}, {"acks", "all"}, {"message.timeout.ms", milliseconds}});
    auto conf = make_conf(all);
    rd_kafka_conf_set_opaque(conf.get(), this);
    rd_kafka_conf_set_dr_msg_cb(conf.get(), &Impl::on_delivery);
    rd_kafka_conf_set_log_cb(conf.get(), [](const rd_kafka_t*, int, const char*, const char*) {});
    rd_kafka_conf_set_error_cb(conf.get(), [](rd_kafka_t*, int, const char* reason, void* self) { static_cast<Impl*>(self)->reason_ = reason; });
    client_ = make_client(RD_KAFKA_PRODUCER, std::move(conf));
  }

  ~Impl() {
    rd_kafka_purge(client_.get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
    rd_kafka_flush(client_.get(), 100);
  }

  void wait_for_topic(const std::string& topic) {
    const std::unique_ptr<rd_kafka_topic_t, Destroy> handle(rd_kafka_topic_new(client_.get(), topic.c_str(), nullptr));
    if (!handle) throw Stop(exit_code::wrong_data, "\"" + topic + "\" is no name for a topic");
    const auto given_up = steady_clock::now() + creation_time;
    for (;;) {
      const rd_kafka_metadata_t* found = nullptr;
      const auto error = rd_kafka_metadata(client_.get(), 0, handle.get(), &found, static_cast<int>(timeout_.count()));
      const MetadataPointer metadata(found);
      if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_poll(client_.get(), 0);
        throw Stop(exit_code::unavailable, "Kafka cannot be reached (kafka.bootstrap.servers): " + (reason_.empty() ? rd_kafka_err2str(error) : reason_));
      }
      const auto state = metadata->topic_cnt > 0 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
      if (state == RD_KAFKA_RESP_ERR_NO_ERROR) return;
      const bool may_come = state == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || state == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
      if (!may_come || steady_clock::now() >= given_up) throw Stop(exit_code_of(state), "topic " + topic + ": " + rd_kafka_err2str(state));
      rd_kafka_poll(client_.get(), 100);
    }
  }

  void send(const core::RecordLine& record) {
    const auto bytes = size_of(record.key) + size_of(record.value) + 100;
    while (pending_.size() >= max_under_way || (bytes_ + bytes > max_bytes_under_way && !pending_.empty())) serve(100);
    while (!try_send(record)) serve(100);
    pending_.push_back({bytes, std::nullopt});
    bytes_ += bytes;
    serve(0);
  }

  void finish() {
    while (!pending_.empty()) serve(100);
  }

  std::int64_t delivered() const { return delivered_; }

 private:
  // False: the producer's queue is full.
  bool try_send(const core::RecordLine& record) {
    HeadersPointer headers(rd_kafka_headers_new(record.headers.size()));
    for (const auto& [name, value] : record.headers) {
      rd_kafka_header_add(headers.get(), name.data(), static_cast<ssize_t>(name.size()), value ? value->data() : nullptr,
                          value ? static_cast<ssize_t>(value->size()) : 0);
    }
    // An empty std::string still has an address, which is how an empty value differs from null.
    const auto data = [](const std::optional<std::string>& b) { return const_cast<char*>(b ? b->data() : nullptr); };
    const auto number = reinterpret_cast<void*>(static_cast<std::uintptr_t>(first_ + pending_.size()));
    const auto error = rd_kafka_producev(
        client_.get(), RD_KAFKA_V_TOPIC(record.topic->c_str()), RD_KAFKA_V_PARTITION(record.partition.value_or(RD_KAFKA_PARTITION_UA)),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_VALUE(data(record.value), size_of(record.value)),
        RD_KAFKA_V_KEY(data(record.key), size_of(record.key)), RD_KAFKA_V_HEADERS(headers.get()), RD_KAFKA_V_OPAQUE(number),
        RD_KAFKA_V_END);
    if (error == RD_KAFKA_RESP_ERR__QUEUE_FULL) return false;
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) throw refused(error);
    headers.release();  // the message's now
    return true;
  }

  void serve(int wait_ms) {
    rd_kafka_poll(client_.get(), wait_ms);
    while (!pending_.empty() && pending_.front().sent) {
      report_(*pending_.front().sent);
      bytes_ -= pending_.front().bytes;
      pending_.pop_front();
      ++first_;
    }
    if (error_ != RD_KAFKA_RESP_ERR_NO_ERROR) throw refused(error_);
  }

  Stop refused(rd_kafka_resp_err_t error) const {
    // Kafka had been reached before.
    const auto code = exit_code_of(error) == exit_code::unavailable ? exit_code::try_again : exit_code_of(error);
    return Stop(code, std::string("Kafka did not take a record: ") + rd_kafka_err2str(error) +
                                         (error == RD_KAFKA_RESP_ERR__MSG_TIMED_OUT && !reason_.empty() ? " (" + reason_ + ")" : ""));
  }

  static void on_delivery(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
    auto& self = *static_cast<Impl*>(opaque);
    const auto index = static_cast<std::size_t>(reinterpret_cast<std::uintptr_t>(message->_private) - self.first_);
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      if (self.error_ == RD_KAFKA_RESP_ERR_NO_ERROR) self.error_ = message->err;
      return;
    }
    ++self.delivered_;
    if (index < self.pending_.size()) self.pending_[index].sent = SentRecord{rd_kafka_topic_name(message->rkt), message->partition, message->offset};
  }

  std::chrono::milliseconds timeout_;
  Report report_;
  std::deque<Pending> pending_;
  std::uintptr_t first_ = 1;  // the number of pending_.front()
  std::size_t bytes_ = 0;
  std::int64_t delivered_ = 0;
  std::string reason_;
  rd_kafka_resp_err_t error_ = RD_KAFKA_RESP_ERR_NO_ERROR;
  ClientPointer client_;
};

RecordSender::RecordSender(const Settings& settings, std::chrono::milliseconds timeout, Report report)
    : impl_(std::make_unique<Impl>(settings, timeout, std::move(report))) {}
RecordSender::~RecordSender() = default;
void RecordSender::wait_for_topic(const std::string& topic) { impl_->wait_for_topic(topic); }
void RecordSender::send(const core::RecordLine& record) { impl_->send(record); }
void RecordSender::finish() { impl_->finish(); }
std::int64_t RecordSender::delivered() const { return impl_->delivered(); }

}  // namespace deja::kafka
