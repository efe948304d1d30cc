#include "kafka/consumer.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <set>

#include <deja/errors.h>

#include "kafka/client.h"
#include "kafka/message.h"

namespace deja::kafka {

namespace {

constexpr std::chrono::seconds most_leaving{10}, most_committing{5};

ListPointer make_list(const Partitions& partitions, std::int64_t offset) {
  ListPointer list(rd_kafka_topic_partition_list_new(static_cast<int>(partitions.size())));
  for (const auto& p : partitions) rd_kafka_topic_partition_list_add(list.get(), p.topic.c_str(), p.number)->offset = offset;
  return list;
}

Partitions from_list(const rd_kafka_topic_partition_list_t* list) {
  Partitions partitions;
  for (int i = 0; i < list->cnt; ++i) partitions.push_back({list->elems[i].topic, list->elems[i].partition});
  return partitions;
}

// What deja owns: the resume offset is the database's, and a missing offset must never be replaced silently.
void own_settings(rd_kafka_conf_t* conf, const std::string& group_id, const std::string& client_id) {
  const std::pair<const char*, std::string> owned[] = {
      {"group.id", group_id}, {"enable.auto.commit", "false"}, {"enable.auto.offset.store", "false"}, {"auto.offset.reset", "error"},
      {"enable.partition.eof", "true"}};
  char error[512];
  for (const auto& [key, value] : owned)
    if (rd_kafka_conf_set(conf, key, value.c_str(), error, sizeof error) != RD_KAFKA_CONF_OK)
      throw Stop(exit_code::configuration, std::string(key) + ": " + error);
  (void)client_id;
}

// Defaults that a user's kafka.* may override.
Settings with_defaults(const Settings& given, const std::string& client_id) {
  // A crashed member is missed sooner than by librdkafka's 45 s. One that was only slow loses nothing: the lane row fences it.
  Settings all = {{"session.timeout.ms", "10000"}, {"client.id", client_id},        {"queued.min.messages", "100000"},      {"queued.max.messages.kbytes", "65536"},
                  {"fetch.wait.max.ms", "100"},    {"socket.keepalive.enable", "true"},  {"reconnect.backoff.max.ms", "2000"},
                  {"partition.assignment.strategy", "range"}, {"isolation.level", "read_committed"}};
  if (rd_kafka_version() >= 0x02020000) all.emplace_back("fetch.queue.backoff.ms", "20");  // not known to older ones
  all.insert(all.end(), given.begin(), given.end());
  return all;
}

bool asks_for_cooperative(const Settings& settings) {
  return std::any_of(settings.begin(), settings.end(), [](const auto& s) { return s.first == "partition.assignment.strategy" && s.second.find("cooperative") != std::string::npos; });
}

}  // namespace

class Consumer::Impl {
 public:
  Impl(const Settings& settings, const std::string& group_id, const std::string& client_id, GroupListener& listener, core::Log& log)
      : listener_(listener), log_(log), cooperative_configured_(asks_for_cooperative(settings)) {
    auto conf = make_conf(with_defaults(settings, client_id));
    own_settings(conf.get(), group_id, client_id);
    rd_kafka_conf_set_opaque(conf.get(), this);
    rd_kafka_conf_set_rebalance_cb(conf.get(), &Impl::on_rebalance);
    rd_kafka_conf_set_error_cb(conf.get(), &Impl::on_error);
    rd_kafka_conf_set_log_cb(conf.get(), &Impl::on_log);
    rd_kafka_conf_set_offset_commit_cb(conf.get(), &Impl::on_commit);
    client_ = make_client(RD_KAFKA_CONSUMER, std::move(conf));
    rd_kafka_poll_set_consumer(client_.get());
  }
  ~Impl() {
    close();
    if (abandoned_) (void)client_.release();  // ends with the process
    else if (!end_client(client_.release()))
      log_.warn("librdkafka does not end its threads; they end with the process, the group was left in order");
  }

  rd_kafka_t* client() const { return client_.get(); }

  void subscribe(const std::vector<std::string>& topics) {
    ListPointer list(rd_kafka_topic_partition_list_new(static_cast<int>(topics.size())));
    for (const auto& topic : topics) rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), RD_KAFKA_PARTITION_UA);
    if (const auto error = rd_kafka_subscribe(client(), list.get()))
      throw Stop(exit_code::configuration, std::string("cannot subscribe: ") + rd_kafka_err2str(error));
  }

  Polled poll(std::chrono::milliseconds timeout) {
    MessagePointer message(rd_kafka_consumer_poll(client(), static_cast<int>(timeout.count())));
    if (!message) return {};
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) return to_record(std::move(message));
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
      return EndOfPartition{{rd_kafka_topic_name(message->rkt), message->partition}, message->offset};
    const char* reason = rd_kafka_message_errstr(message.get());
    std::string text = rd_kafka_err2name(message->err);
    if (reason) text += std::string(": ") + reason;
    if (!message->rkt) {
      // a consumer hears of it here, a producer in its error callback
      if (message->err == RD_KAFKA_RESP_ERR__FATAL) fatal_error();
      else listener_.group_error(text, false);
      return {};
    }
    Partition partition{rd_kafka_topic_name(message->rkt), message->partition};
    if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET || message->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE) {
      stopped_.insert(partition);
      return OffsetLost{std::move(partition), std::move(text)};
    }
    return PartitionError{std::move(partition), std::move(text)};
  }

  bool start(const Partition& partition, std::int64_t offset) {
    const auto list = make_list({partition}, offset);
    if (stopped_.contains(partition)) {
      if (giving_up_ || !assign_anew(partition, offset)) return false;
      stopped_.erase(partition);
      resume(partition);
      return true;
    }
    const ErrorPointer error(rd_kafka_seek_partitions(client(), list.get(), 5000));
    if (error || list->elems[0].err) {
      log_.warn("cannot seek", {{"topic", partition.topic}, {"partition", std::int64_t{partition.number}}, {"offset", offset},
                                {"error", std::string(error ? rd_kafka_error_string(error.get()) : rd_kafka_err2str(list->elems[0].err))}});
      return false;
    }
    resume(partition);
    return true;
  }

  void pause(const Partition& partition) { rd_kafka_pause_partitions(client(), make_list({partition}, RD_KAFKA_OFFSET_INVALID).get()); }
  void resume(const Partition& partition) { rd_kafka_resume_partitions(client(), make_list({partition}, RD_KAFKA_OFFSET_INVALID).get()); }

  void give_up(const Partitions& partitions) {
    giving_up_ = false;
    if (cooperative()) {
      const auto list = make_list(partitions, RD_KAFKA_OFFSET_INVALID);
      const ErrorPointer error(rd_kafka_incremental_unassign(client(), list.get()));
      if (error) log_.warn("cannot unassign", {{"error", std::string(rd_kafka_error_string(error.get()))}});
    } else {
      rd_kafka_assign(client(), nullptr);
    }
  }

  void commit(const std::vector<CommittedOffset>& offsets, bool wait) {
    ListPointer list(rd_kafka_topic_partition_list_new(static_cast<int>(offsets.size())));
    for (const auto& o : offsets) {
      auto* element = rd_kafka_topic_partition_list_add(list.get(), o.partition.topic.c_str(), o.partition.number);
      element->offset = o.offset;
      element->metadata = rd_kafka_mem_malloc(client(), o.metadata.size());  // freed with the list
      element->metadata_size = o.metadata.size();
      std::memcpy(element->metadata, o.metadata.data(), o.metadata.size());
    }
    if (wait) commit_and_wait(list.get());
    else if (const auto error = rd_kafka_commit(client(), list.get(), 1)) commit_failed(error);
  }

  void close() {
    if (closed_) return;
    cooperative_ = cooperative();
    closed_ = true;
    if (cannot_close()) return abandon();
    if (leave_group()) return;
    log_.warn("leaving the group takes too long; it misses this member when its session ends");
    abandon();
  }

  std::atomic<std::int64_t> commit_errors{0};
  std::atomic<bool> commit_doubt{false};

  // Not asked for while it closes: that may wait for ever (librdkafka's issue 4041).
  bool cooperative() const {
    if (closed_) return cooperative_;
    const char* protocol = rd_kafka_rebalance_protocol(client());
    return protocol && std::strcmp(protocol, "COOPERATIVE") == 0;
  }

 private:
  // Before 2.3 librdkafka aborts the process when a cooperative member closes that had no assignment yet (its issue 4312).
  bool cannot_close() const { return !was_assigned_ && cooperative_configured_ && rd_kafka_version() < 0x02030000; }

  // Bounded, as a stop must end: rd_kafka_commit() waits for a coordinator for as long as there is none.
  void commit_and_wait(const rd_kafka_topic_partition_list_t* offsets) {
    const QueuePointer queue(rd_kafka_queue_new(client()));
    auto error = rd_kafka_commit_queue(client(), offsets, queue.get(), nullptr, nullptr);
    if (!error) {
      const EventPointer reply(rd_kafka_queue_poll(queue.get(), static_cast<int>(std::chrono::milliseconds(most_committing).count())));
      error = reply ? rd_kafka_event_error(reply.get()) : RD_KAFKA_RESP_ERR__TIMED_OUT;
    }
    if (error && error != RD_KAFKA_RESP_ERR__NO_OFFSET) commit_failed(error);
  }

  // The group misses the member when its session ends.
  void abandon() {
    rd_kafka_set_log_level(client(), 0);  // calls back from its own threads no more
    abandoned_ = true;
  }

  // As rd_kafka_consumer_close() does, but bounded: it waits for ever when an assignment meets it (librdkafka's issue 4527, mended in 2.4).
  bool leave_group() {
    const QueuePointer queue(rd_kafka_queue_new(client()));
    const ErrorPointer refused(rd_kafka_consumer_close_queue(client(), queue.get()));
    if (refused) return false;
    const auto until = std::chrono::steady_clock::now() + most_leaving;
    while (!rd_kafka_consumer_closed(client()) && std::chrono::steady_clock::now() < until) {
      // by events: the poll with callbacks aborts at what has none, a fetched record for example
      const EventPointer event(rd_kafka_queue_poll(queue.get(), 100));
      if (event && rd_kafka_event_type(event.get()) == RD_KAFKA_EVENT_REBALANCE)
        guarded([&] { rebalance(rd_kafka_event_error(event.get()), rd_kafka_event_topic_partition_list(event.get())); });
    }
    return rd_kafka_consumer_closed(client()) != 0;
  }

  // librdkafka stops a partition for good whose offset was not in the log (auto.offset.reset=error): it cannot be sought, only be
  // assigned anew. Not while partitions are to be given up: the assignment would be taken for the answer to that.
  bool assign_anew(const Partition& partition, std::int64_t offset) {
    const auto list = make_list({partition}, offset);
    if (cooperative()) {
      const ErrorPointer removed(rd_kafka_incremental_unassign(client(), list.get()));
      const ErrorPointer added(removed ? nullptr : rd_kafka_incremental_assign(client(), list.get()));
      return !removed && !added;
    }
    rd_kafka_topic_partition_list_t* current = nullptr;
    if (rd_kafka_assignment(client(), &current)) return false;
    const ListPointer all(current);
    Partitions paused;
    for (int i = 0; i < all->cnt; ++i) {
      const Partition each{all->elems[i].topic, all->elems[i].partition};
      const auto refetch = each == partition ? GroupListener::Refetch{offset, false} : listener_.refetched(each);
      all->elems[i].offset = refetch.from;
      if (refetch.paused) paused.push_back(each);
    }
    if (rd_kafka_assign(client(), all.get())) return false;
    rd_kafka_pause_partitions(client(), make_list(paused, RD_KAFKA_OFFSET_INVALID).get());
    return true;
  }

  void commit_failed(rd_kafka_resp_err_t error) {
    ++commit_errors;
    commit_doubt = true;
    log_.warn("committing offsets to Kafka failed; processing goes on, lag tools show old numbers",
              {{"error", std::string(rd_kafka_err2str(error))}});
  }

  // librdkafka is C: nothing may be thrown across it.
  template <class F>
  void guarded(F&& f) noexcept {
    try {
      f();
    } catch (const std::exception& e) {
      log_.error("a defect in a Kafka callback", {{"error", std::string(e.what())}});
    }
  }

  static void on_rebalance(rd_kafka_t*, rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t* list, void* opaque) {
    auto& self = *static_cast<Impl*>(opaque);
    self.guarded([&] { self.rebalance(error, list); });
  }

  void rebalance(rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t* list) {
    const auto partitions = from_list(list);
    if (error == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
      was_assigned_ = true;
      // Where to start is the database's to say, which must not be waited for here: assigned, but standing still.
      // At a number: the answer to a logical offset may come after the seek and be taken for it, so that records between are skipped.
      for (int i = 0; i < list->cnt; ++i) list->elems[i].offset = 0;
      if (cooperative()) {
        const ErrorPointer failure(rd_kafka_incremental_assign(client(), list));
        if (failure) log_.warn("cannot assign", {{"error", std::string(rd_kafka_error_string(failure.get()))}});
      } else {
        rd_kafka_assign(client(), list);
      }
      if (list->cnt > 0) rd_kafka_pause_partitions(client(), list);
      for (const auto& p : partitions) stopped_.erase(p);
      listener_.assigned(partitions);
    } else if (error == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS) {
      giving_up_ = true;
      listener_.revoked(partitions, rd_kafka_assignment_lost(client()) != 0);
      if (closed_) give_up(partitions);
    } else {
      listener_.group_error(rd_kafka_err2str(error), false);
      giving_up_ = false;
      rd_kafka_assign(client(), nullptr);
    }
  }

  void fatal_error() {
    char reason[512];
    const auto error = rd_kafka_fatal_error(client(), reason, sizeof reason);
    std::string text = std::string(rd_kafka_err2name(error)) + ": " + reason;
    if (error == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID)
      text += "; another process joined with the same kafka.consumer.group.instance.id: give each its own (or the reply to a join was lost, "
              "and Kafka took this process for two: then start it again)";
    listener_.group_error(text, true);
  }

  static void on_error(rd_kafka_t*, int error, const char* reason, void* opaque) {
    auto& self = *static_cast<Impl*>(opaque);
    self.guarded([&] {
      if (error == RD_KAFKA_RESP_ERR__FATAL) self.fatal_error();
      else self.listener_.group_error(std::string(rd_kafka_err2name(static_cast<rd_kafka_resp_err_t>(error))) + ": " + reason, false);
    });
  }

  static void on_log(const rd_kafka_t* client, int level, const char* facility, const char* text) {
    auto& self = *static_cast<Impl*>(rd_kafka_opaque(client));
    self.guarded([&] {
      if (level <= 4) self.log_.debug("librdkafka", {{"facility", std::string(facility)}, {"text", std::string(text)}});
      else if (level == 7) self.log_.debug(std::string("librdkafka ") + facility + ' ' + text);  // kafka.consumer.debug; every line counts
    });
  }

  static void on_commit(rd_kafka_t*, rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t*, void* opaque) {
    auto& self = *static_cast<Impl*>(opaque);
    self.guarded([&] {
      if (error != RD_KAFKA_RESP_ERR_NO_ERROR && error != RD_KAFKA_RESP_ERR__NO_OFFSET) self.commit_failed(error);
    });
  }

  GroupListener& listener_;
  core::Log& log_;
  const bool cooperative_configured_;
  bool closed_ = false, abandoned_ = false, cooperative_ = false;
  bool giving_up_ = false;  // asked to, and not done yet
  bool was_assigned_ = false;
  std::set<Partition> stopped_;
  ClientPointer client_;
};

Consumer::Consumer(const Settings& settings, const std::string& group_id, const std::string& client_id, GroupListener& listener,
                   core::Log& log)
    : impl_(std::make_unique<Impl>(settings, group_id, client_id, listener, log)) {}
Consumer::~Consumer() = default;

void Consumer::subscribe(const std::vector<std::string>& topics) { impl_->subscribe(topics); }
void Consumer::unsubscribe() { rd_kafka_unsubscribe(impl_->client()); }
Polled Consumer::poll(std::chrono::milliseconds timeout) { return impl_->poll(timeout); }
bool Consumer::start(const Partition& partition, std::int64_t offset) { return impl_->start(partition, offset); }
void Consumer::pause(const Partition& partition) { impl_->pause(partition); }
void Consumer::resume(const Partition& partition) { impl_->resume(partition); }
void Consumer::give_up(const Partitions& partitions) { impl_->give_up(partitions); }
void Consumer::commit(const std::vector<CommittedOffset>& offsets, bool wait) { impl_->commit(offsets, wait); }
void Consumer::close() { impl_->close(); }
bool Consumer::may_commit_in_rebalance() const { return !impl_->cooperative() || rd_kafka_version() >= 0x020a0000; }
bool Consumer::take_commit_doubt() { return impl_->commit_doubt.exchange(false); }
std::int64_t Consumer::take_commit_errors() { return impl_->commit_errors.exchange(0); }

Watermarks Consumer::cached_watermarks(const Partition& partition) const {
  Watermarks w;
  if (rd_kafka_get_watermark_offsets(impl_->client(), partition.topic.c_str(), partition.number, &w.low, &w.high)) return {};
  if (w.low < 0) w.low = -1;
  if (w.high < 0) w.high = -1;
  return w;
}

std::optional<CommittedOffset> Consumer::committed(const Partition& partition, std::chrono::milliseconds timeout) const {
  const auto list = make_list({partition}, RD_KAFKA_OFFSET_INVALID);
  if (rd_kafka_committed(impl_->client(), list.get(), static_cast<int>(timeout.count())) || list->elems[0].err) return std::nullopt;
  const auto& found = list->elems[0];
  return CommittedOffset{partition, std::max<std::int64_t>(found.offset, -1),
                         found.metadata ? std::string(static_cast<const char*>(found.metadata), found.metadata_size) : std::string()};
}

std::optional<Watermarks> Consumer::watermarks(const Partition& partition, std::chrono::milliseconds timeout) const {
  Watermarks w;
  if (rd_kafka_query_watermark_offsets(impl_->client(), partition.topic.c_str(), partition.number, &w.low, &w.high,
                                       static_cast<int>(timeout.count())))
    return std::nullopt;
  return w;
}

std::optional<int> Consumer::partition_count(const std::string& topic, std::chrono::milliseconds timeout) const {
  const std::unique_ptr<rd_kafka_topic_t, Destroy> handle(rd_kafka_topic_new(impl_->client(), topic.c_str(), nullptr));
  const rd_kafka_metadata_t* metadata = nullptr;
  if (!handle || rd_kafka_metadata(impl_->client(), 0, handle.get(), &metadata, static_cast<int>(timeout.count()))) return std::nullopt;
  const MetadataPointer owned(metadata);
  if (metadata->topic_cnt != 1) return std::nullopt;
  const auto& found = metadata->topics[0];
  if (found.err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || found.err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC) return 0;
  if (found.err) return std::nullopt;
  return found.partition_cnt;
}

bool Consumer::reachable(std::chrono::milliseconds timeout) const {
  const rd_kafka_metadata_t* metadata = nullptr;
  if (rd_kafka_metadata(impl_->client(), 0, nullptr, &metadata, static_cast<int>(timeout.count()))) return false;
  rd_kafka_metadata_destroy(metadata);
  return true;
}

}  // namespace deja::kafka
