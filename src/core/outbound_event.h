#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <deja/bytes.h>
#include <deja/event.h>

#include "core/uuid.h"

namespace deja::core {

/// An event as it is stored and published: complete, with deja's own headers.
struct OutboundEvent {
  Uuid id;
  std::string topic;
  std::optional<std::int32_t> partition;
  Bytes key, value;
  std::vector<EventHeader> headers;

  std::size_t size() const {
    std::size_t bytes = topic.size() + key.size() + value.size() + 64;
    for (const auto& h : headers) bytes += h.name.size() + h.value.size() + 16;
    return bytes;
  }
};

}  // namespace deja::core
