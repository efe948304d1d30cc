#include "kafka/producer.h"

#include <atomic>

#include <deja/errors.h>

#include "core/event_number.h"
#include "kafka/client.h"

#ifdef __clang__
#pragma clang diagnostic ignored "-Wgnu-statement-expression"  // inside librdkafka's RD_KAFKA_V_ macros
#endif

namespace deja::kafka {

namespace {
struct InFlight {
  std::shared_ptr<DeliveryTarget> target;
  std::int64_t seq;
};

Settings producer_settings(const Settings& given, const std::string& client_id) {
  Settings all = {{"client.id", client_id}, {"partitioner", "murmur2_random"}, {"socket.keepalive.enable", "true"},
                  {"queue.buffering.max.messages", "100000"}, {"queue.buffering.max.kbytes", "65536"},
                  {"reconnect.backoff.max.ms", "2000"}, {"retry.backoff.ms", "100"},
                  // A topic that is missing is refused after so long; librdkafka's 30 s would hold up the lane, and tries of other topics.
                  {"topic.metadata.propagation.max.ms", "5000"}};
  all.insert(all.end(), given.begin(), given.end());
  // after the user's: a local time-out would let a later event overtake the one that timed out, and so would going on behind one that
  // was refused for good
  all.insert(all.end(), {{"enable.idempotence", "true"}, {"enable.gapless.guarantee", "true"}, {"acks", "all"}, {"message.timeout.ms", "0"}});
  return all;
}
}  // namespace

class Producer::Impl {
 public:
  Impl(const Settings& settings, const std::string& client_id, std::uint64_t generation, core::Log& log)
      : generation_(generation), log_(log) {
    auto conf = make_conf(producer_settings(settings, client_id));
    rd_kafka_conf_set_opaque(conf.get(), this);
    rd_kafka_conf_set_dr_msg_cb(conf.get(), &Impl::on_delivery);
    rd_kafka_conf_set_error_cb(conf.get(), &Impl::on_error);
    rd_kafka_conf_set_log_cb(conf.get(), &Impl::on_log);
    client_ = make_client(RD_KAFKA_PRODUCER, std::move(conf));
  }

  ~Impl() {
    silent_ = true;
    rd_kafka_purge(client_.get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (rd_kafka_outq_len(client_.get()) > 0 && std::chrono::steady_clock::now() < give_up) rd_kafka_poll(client_.get(), 100);
  }

  Sent send(const std::shared_ptr<DeliveryTarget>& target, std::int64_t seq, const core::OutboundEvent& event, const std::string& number,
            Refusal& refusal) {
    HeadersPointer headers(rd_kafka_headers_new(event.headers.size() + 1));
    for (const auto& h : event.headers)
      rd_kafka_header_add(headers.get(), h.name.data(), static_cast<ssize_t>(h.name.size()), h.value.has_value() ? h.value.view().data() : nullptr,
                          h.value.has_value() ? static_cast<ssize_t>(h.value.size()) : 0);
    rd_kafka_header_add(headers.get(), core::event_number_header, -1, number.data(), static_cast<ssize_t>(number.size()));
    auto in_flight = std::make_unique<InFlight>(InFlight{target, seq});
    const auto bytes = [](const Bytes& b) { return const_cast<char*>(b.has_value() ? b.view().data() : nullptr); };  // copied
    const auto code = rd_kafka_producev(
        client_.get(), RD_KAFKA_V_TOPIC(event.topic.c_str()), RD_KAFKA_V_PARTITION(event.partition.value_or(RD_KAFKA_PARTITION_UA)),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_VALUE(bytes(event.value), event.value.size()),
        RD_KAFKA_V_KEY(bytes(event.key), event.key.size()), RD_KAFKA_V_HEADERS(headers.get()), RD_KAFKA_V_OPAQUE(in_flight.get()), RD_KAFKA_V_END);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
      headers.release();  // both belong to the message now
      in_flight.release();
      return Sent::yes;
    }
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL) return Sent::queue_full;
    refusal = refusal_of(code);
    return Sent::refused;
  }

  int poll(std::chrono::milliseconds timeout) { return rd_kafka_poll(client_.get(), static_cast<int>(timeout.count())); }
  bool flush(std::chrono::milliseconds timeout) { return rd_kafka_flush(client_.get(), static_cast<int>(timeout.count())) == RD_KAFKA_RESP_ERR_NO_ERROR; }
  std::uint64_t generation() const { return generation_; }

 private:
  static void on_delivery(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
    auto& self = *static_cast<Impl*>(opaque);
    const std::unique_ptr<InFlight> in_flight(static_cast<InFlight*>(message->_private));
    if (self.silent_) return;
    try {
      in_flight->target->delivered(in_flight->seq, self.generation_, message->err ? std::optional(refusal_of(message->err)) : std::nullopt);
    } catch (const std::exception& e) {
      self.log_.error("a defect in a delivery callback", {{"error", std::string(e.what())}});
    }
  }
  static void on_error(rd_kafka_t*, int error, const char* reason, void* opaque) {
    static_cast<Impl*>(opaque)->log_.debug("producer error", {{"error", std::string(rd_kafka_err2name(static_cast<rd_kafka_resp_err_t>(error)))},
                                                              {"reason", std::string(reason)}});
  }
  static void on_log(const rd_kafka_t* client, int, const char* facility, const char* text) {
    static_cast<Impl*>(rd_kafka_opaque(client))->log_.debug("librdkafka", {{"facility", std::string(facility)}, {"text", std::string(text)}});
  }

  const std::uint64_t generation_;
  core::Log& log_;
  std::atomic<bool> silent_{false};
  ClientPointer client_;
};

Producer::Producer(const Settings& settings, const std::string& client_id, std::uint64_t generation, core::Log& log)
    : impl_(std::make_unique<Impl>(settings, client_id, generation, log)) {}
Producer::~Producer() = default;
Producer::Sent Producer::send(const std::shared_ptr<DeliveryTarget>& target, std::int64_t seq, const core::OutboundEvent& event,
                              const std::string& number, Refusal& refusal) {
  return impl_->send(target, seq, event, number, refusal);
}
int Producer::poll(std::chrono::milliseconds timeout) { return impl_->poll(timeout); }
bool Producer::flush(std::chrono::milliseconds timeout) { return impl_->flush(timeout); }
std::uint64_t Producer::generation() const { return impl_->generation(); }

}  // namespace deja::kafka
