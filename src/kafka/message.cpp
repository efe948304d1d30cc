#include "kafka/message.h"

#include <cstring>

namespace deja::kafka {

core::SourceRecord to_record(MessagePointer message) {
  core::SourceRecord record;
  const auto* m = message.get();
  const auto view = [](const void* bytes, std::size_t size) {
    return bytes ? std::optional<std::string_view>({static_cast<const char*>(bytes), size}) : std::nullopt;
  };
  record.view.topic = rd_kafka_topic_name(m->rkt);
  record.view.partition = m->partition;
  record.view.offset = m->offset;
  record.view.key = view(m->key, m->key_len);
  record.view.value = view(m->payload, m->len);
  record.view.timestamp_ms = rd_kafka_message_timestamp(m, nullptr);
  record.size = m->key_len + m->len + 256;
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(m, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR) {
    const char* name = nullptr;
    const void* value = nullptr;
    std::size_t size = 0;
    record.headers.reserve(rd_kafka_header_cnt(headers));
    for (std::size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR; ++i) {
      record.headers.push_back({name, view(value, size)});
      record.size += std::strlen(name) + size + sizeof(Header);
    }
  }
  record.view.headers = record.headers;
#if RD_KAFKA_VERSION >= 0x020100ff
  record.leader_epoch = rd_kafka_message_leader_epoch(m);
#endif
  record.owner = std::shared_ptr<const void>(message.release(), [](const void* p) {
    rd_kafka_message_destroy(const_cast<rd_kafka_message_t*>(static_cast<const rd_kafka_message_t*>(p)));
  });
  return record;
}

}  // namespace deja::kafka
