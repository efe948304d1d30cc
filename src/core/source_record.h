#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <deja/record.h>

namespace deja::core {

/// A record on its way through a lane, with whatever owns its bytes (a librdkafka message, a test's strings).
struct SourceRecord {
  detail::RecordView view;  // its headers view `headers`
  std::vector<Header> headers;
  std::int32_t leader_epoch = -1;
  std::size_t size = 0;  // bytes held in memory, roughly
  std::shared_ptr<const void> owner;

  SourceRecord() = default;
  SourceRecord(SourceRecord&& other) noexcept { *this = std::move(other); }
  SourceRecord& operator=(SourceRecord&& other) noexcept {
    view = other.view;
    headers = std::move(other.headers);  // moving a vector keeps its elements where they are, but do not rely on the span
    view.headers = headers;
    leader_epoch = other.leader_epoch;
    size = other.size;
    owner = std::move(other.owner);
    return *this;
  }
};

}  // namespace deja::core
