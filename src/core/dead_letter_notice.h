#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/hash.h"
#include "core/outbound_event.h"

namespace deja::core {

/// What became of a dead letter that the dead-letter topic was told of.
struct DeadLetterNotice {
  std::int64_t dead_letter = 0, action = 0;
  std::int64_t replays = 0;
  std::string topic;    ///< the dead-letter topic
  std::string_view status;   ///< replayed, discarded, or open again
  std::string_view outcome;  ///< the disposition of a replay; empty: none
};

/// Of a record's key on the dead-letter topic. A longer one is left out.
inline constexpr std::size_t longest_notice_key = 64 * 1024;

/// The event that follows under the same `deja-dlq-id`. `source` is topic/partition/offset of the record. Its id is that of the letter,
/// the operator's action and the status, so that it is the same however often it is written.
OutboundEvent notice_event(const DeadLetterNotice& notice, std::string_view group, std::optional<std::string_view> record_key, const std::string& source, FramedHash& hash);

}  // namespace deja::core
