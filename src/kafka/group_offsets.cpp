#include "kafka/group_offsets.h"

#include <cstring>

#include "kafka/admin.h"
#include "kafka/client.h"

namespace deja::kafka {

namespace {
// What the broker tells somebody who is no member, of a group that has members.
bool means_active(rd_kafka_resp_err_t error) {
  return error == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID || error == RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION || error == RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS;
}
}  // namespace

GroupState commit_for_empty_group(const std::vector<std::pair<std::string, std::string>>& settings, const std::string& group,
                                  const std::vector<std::pair<Partition, std::int64_t>>& offsets, const std::string& metadata,
                                  std::chrono::milliseconds timeout) {
  auto all = settings;
  all.insert(all.end(), {{"group.id", group}, {"enable.auto.commit", "false"}, {"allow.auto.create.topics", "false"}});
  auto conf = make_conf(all);
  rd_kafka_conf_set_log_cb(conf.get(), [](const rd_kafka_t*, int, const char*, const char*) {});
  const auto client = make_client(RD_KAFKA_CONSUMER, std::move(conf));
  const ListPointer list(rd_kafka_topic_partition_list_new(static_cast<int>(offsets.size())));
  for (const auto& [partition, offset] : offsets) {
    auto* element = rd_kafka_topic_partition_list_add(list.get(), partition.topic.c_str(), partition.number);
    element->offset = offset;
    element->metadata = rd_kafka_mem_malloc(client.get(), metadata.size());  // freed with the list
    element->metadata_size = metadata.size();
    std::memcpy(element->metadata, metadata.data(), metadata.size());
  }
  const QueuePointer queue(rd_kafka_queue_new(client.get()));
  if (const auto error = rd_kafka_commit_queue(client.get(), list.get(), queue.get(), nullptr, nullptr)) throw Unreachable(rd_kafka_err2str(error));
  const EventPointer event(rd_kafka_queue_poll(queue.get(), static_cast<int>(timeout.count())));
  if (!event) throw Unreachable("no answer in time");
  auto error = rd_kafka_event_error(event.get());
  if (const auto* answered = rd_kafka_event_topic_partition_list(event.get()))
    for (int i = 0; i < answered->cnt && !error; ++i) error = answered->elems[i].err;
  if (means_active(error)) return GroupState::active;
  if (error) throw Unreachable(rd_kafka_err2str(error));
  return GroupState::empty;
}

}  // namespace deja::kafka
