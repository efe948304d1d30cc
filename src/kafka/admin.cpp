#include "kafka/admin.h"

#include <algorithm>
#include <mutex>

#include <deja/errors.h>

#include "kafka/client.h"

namespace deja::kafka {
namespace {

struct DestroyRequest {
  void operator()(rd_kafka_ConfigResource_t* p) const { rd_kafka_ConfigResource_destroy(p); }
  void operator()(rd_kafka_AdminOptions_t* p) const { rd_kafka_AdminOptions_destroy(p); }
};
using ResourcePointer = std::unique_ptr<rd_kafka_ConfigResource_t, DestroyRequest>;
using OptionsPointer = std::unique_ptr<rd_kafka_AdminOptions_t, DestroyRequest>;

ListPointer list_of(const Partitions& partitions, std::int64_t offset) {
  ListPointer list(rd_kafka_topic_partition_list_new(static_cast<int>(partitions.size())));
  for (const auto& p : partitions) rd_kafka_topic_partition_list_add(list.get(), p.topic.c_str(), p.number)->offset = offset;
  return list;
}

template <class Visit>
void each(const rd_kafka_topic_partition_list_t& list, Visit visit) {
  for (int i = 0; i < list.cnt; ++i) visit(list.elems[i]);
}

Partition partition_of(const rd_kafka_topic_partition_t& element) { return {element.topic, element.partition}; }

}  // namespace

class Admin::Impl {
 public:
  Impl(const Settings& settings, const std::string& group, std::chrono::milliseconds timeout) : timeout_(static_cast<int>(timeout.count())) {
    auto all = settings;
    // The end of the log is the last written record, whether or not its transaction is over.
    all.insert(all.end(), {{"isolation.level", "read_uncommitted"}, {"allow.auto.create.topics", "false"}, {"group.id", group.empty() ? "deja" : group}});
    auto conf = make_conf(all);
    rd_kafka_conf_set_opaque(conf.get(), this);
    rd_kafka_conf_set_log_cb(conf.get(), [](const rd_kafka_t*, int, const char*, const char*) {});
    rd_kafka_conf_set_error_cb(conf.get(), [](rd_kafka_t*, int, const char* reason, void* self) { static_cast<Impl*>(self)->note(reason); });
    client_ = make_client(RD_KAFKA_CONSUMER, std::move(conf));
  }

  rd_kafka_t* client() { return client_.get(); }
  int timeout() const { return timeout_; }

  void check(rd_kafka_resp_err_t error) {
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return;
    rd_kafka_poll(client_.get(), 0);  // serves the callback that says why
    const std::lock_guard lock(mutex_);
    throw Unreachable(last_error_.empty() ? rd_kafka_err2str(error) : last_error_);
  }

  MetadataPointer metadata(const char* topic) {
    std::unique_ptr<rd_kafka_topic_t, Destroy> handle;
    if (topic != nullptr) handle.reset(rd_kafka_topic_new(client_.get(), topic, nullptr));
    const rd_kafka_metadata_t* found = nullptr;
    check(rd_kafka_metadata(client_.get(), 0, handle.get(), &found, timeout_));
    return MetadataPointer(found);
  }

 private:
  void note(const char* reason) {
    const std::lock_guard lock(mutex_);
    last_error_ = reason;
  }

  int timeout_;
  std::mutex mutex_;
  std::string last_error_;
  ClientPointer client_;
};

std::string library_version() { return rd_kafka_version_str(); }

Admin::Admin(const Settings& settings, const std::string& group, std::chrono::milliseconds timeout)
    : impl_(std::make_unique<Impl>(settings, group, timeout)) {}
Admin::~Admin() = default;

void Admin::check_reachable() { impl_->metadata(nullptr); }

TopicState Admin::topic(const std::string& name) {
  const auto metadata = impl_->metadata(name.c_str());
  TopicState state;
  if (metadata->topic_cnt < 1) return state;
  const auto& topic = metadata->topics[0];
  state.exists = topic.err == RD_KAFKA_RESP_ERR_NO_ERROR;
  state.partitions = topic.partition_cnt;
  state.not_allowed = topic.err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
  if (!state.exists) state.error = rd_kafka_err2str(topic.err);
  return state;
}

std::map<Partition, LogRange> Admin::ranges(const Partitions& partitions) {
  std::map<Partition, LogRange> found;
  if (partitions.empty()) return found;
  // One question for all of them; the two special "times" are the ends of the log.
  for (const auto end : {RD_KAFKA_OFFSET_BEGINNING, RD_KAFKA_OFFSET_END}) {
    const auto list = list_of(partitions, end);
    const auto error = rd_kafka_offsets_for_times(impl_->client(), list.get(), impl_->timeout());
    if (error != RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION && error != RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC) impl_->check(error);
    each(*list, [&](const auto& element) {
      if (element.err != RD_KAFKA_RESP_ERR_NO_ERROR || element.offset < 0) return;
      auto& range = found[partition_of(element)];
      (end == RD_KAFKA_OFFSET_END ? range.end : range.start) = element.offset;
    });
  }
  return found;
}

std::map<Partition, std::int64_t> Admin::offsets_at(const Partitions& partitions, std::int64_t timestamp_ms) {
  std::map<Partition, std::int64_t> found;
  if (partitions.empty()) return found;
  for (const auto& [partition, range] : ranges(partitions)) found[partition] = range.end;
  const auto list = list_of(partitions, timestamp_ms);
  impl_->check(rd_kafka_offsets_for_times(impl_->client(), list.get(), impl_->timeout()));
  each(*list, [&](const auto& element) {
    if (element.err == RD_KAFKA_RESP_ERR_NO_ERROR && element.offset >= 0) found[partition_of(element)] = element.offset;
  });
  return found;
}

std::map<Partition, GroupOffset> Admin::group_offsets(const Partitions& partitions) {
  std::map<Partition, GroupOffset> found;
  if (partitions.empty()) return found;
  const auto list = list_of(partitions, RD_KAFKA_OFFSET_INVALID);
  impl_->check(rd_kafka_committed(impl_->client(), list.get(), impl_->timeout()));
  each(*list, [&](const auto& element) {
    if (element.err != RD_KAFKA_RESP_ERR_NO_ERROR || element.offset < 0) return;
    found[partition_of(element)] = {element.offset, std::string(static_cast<const char*>(element.metadata), element.metadata_size)};
  });
  return found;
}

std::map<std::string, std::string> Admin::topic_settings(const std::string& name) {
  QueuePointer queue(rd_kafka_queue_new(impl_->client()));
  ResourcePointer resource(rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name.c_str()));
  OptionsPointer options(rd_kafka_AdminOptions_new(impl_->client(), RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS));
  char ignored[256];
  rd_kafka_AdminOptions_set_request_timeout(options.get(), impl_->timeout(), ignored, sizeof ignored);
  auto* one = resource.get();
  rd_kafka_DescribeConfigs(impl_->client(), &one, 1, options.get(), queue.get());
  const EventPointer event(rd_kafka_queue_poll(queue.get(), impl_->timeout()));
  std::map<std::string, std::string> settings;
  const auto* result = event ? rd_kafka_event_DescribeConfigs_result(event.get()) : nullptr;
  if (result == nullptr || rd_kafka_event_error(event.get()) != RD_KAFKA_RESP_ERR_NO_ERROR) return settings;
  std::size_t count = 0;
  const auto* resources = rd_kafka_DescribeConfigs_result_resources(result, &count);
  if (count == 0 || rd_kafka_ConfigResource_error(resources[0]) != RD_KAFKA_RESP_ERR_NO_ERROR) return settings;
  const auto* entries = rd_kafka_ConfigResource_configs(resources[0], &count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto* value = rd_kafka_ConfigEntry_value(entries[i]);
    settings[rd_kafka_ConfigEntry_name(entries[i])] = value == nullptr ? "" : value;
  }
  return settings;
}

}  // namespace deja::kafka
