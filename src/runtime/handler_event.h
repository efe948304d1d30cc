#pragma once

#include <cstdint>
#include <string_view>

#include <deja/event.h>

#include "core/hash.h"
#include "core/outbound_event.h"
#include "postgres/lane_store.h"
#include "runtime/prepared_record.h"

namespace deja::runtime {

/// The event of a handler with deja's headers: id (D3), source, Idempotency-Key and traceparent unless the handler set them.
core::OutboundEvent handler_event(Event event, const PreparedRecord& record, std::string_view scope, const core::Uuid& incarnation,
                                  std::int64_t ordinal, core::FramedHash& hash);

/// "topic/partition/offset"
std::string source_text(const detail::RecordView& view);

/// What identifies the batch's last record, should the log ever be another one.
postgres::Witness witness_of(const core::SourceRecord& record, core::FramedHash& hash);

}  // namespace deja::runtime
