#include "runtime/handler_event.h"

#include <algorithm>

#include "core/keys.h"

namespace deja::runtime {

std::string source_text(const detail::RecordView& view) {
  return std::string(view.topic) + "/" + std::to_string(view.partition) + "/" + std::to_string(view.offset);
}

core::OutboundEvent handler_event(Event event, const PreparedRecord& record, std::string_view scope, const core::Uuid& incarnation,
                                  std::int64_t ordinal, core::FramedHash& hash) {
  const auto& view = record.source->view;
  core::OutboundEvent out;
  out.id = record.key ? core::event_id(hash, scope, *record.key, ordinal)
                      : core::event_id(hash, scope, view.topic, view.partition, incarnation, view.offset, ordinal);
  out.topic = std::move(event.topic);
  out.partition = event.partition;
  out.key = std::move(event.key);
  out.value = std::move(event.value);
  out.headers = std::move(event.headers);
  const auto has = [&](std::string_view name) {
    return std::any_of(out.headers.begin(), out.headers.end(), [&](const EventHeader& h) { return h.name == name; });
  };
  const auto id = core::to_text(out.id);
  out.headers.push_back({"deja-event-id", id});
  out.headers.push_back({"deja-source", source_text(view)});
  if (!has("Idempotency-Key")) out.headers.push_back({"Idempotency-Key", id});
  if (!has("traceparent"))
    if (const auto parent = Record(view).header("traceparent")) out.headers.push_back({"traceparent", *parent});
  return out;
}

postgres::Witness witness_of(const core::SourceRecord& record, core::FramedHash& hash) {
  const auto sum = hash.maybe(record.view.key).maybe(record.view.value).part(record.view.timestamp_ms).finish();
  return {record.view.offset, record.leader_epoch, record.view.timestamp_ms, std::string(reinterpret_cast<const char*>(sum.data()), 8)};
}

}  // namespace deja::runtime
