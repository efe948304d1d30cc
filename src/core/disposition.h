#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace deja::core {

/// How a consumed record ended; `parked` is on the way. The words are public: metrics, SQL, CLI and docs use them.
enum class Disposition { processed, duplicate, conflict, dead, discarded, parked };

constexpr std::string_view word(Disposition disposition) {
  switch (disposition) {
    case Disposition::processed: return "processed";
    case Disposition::duplicate: return "duplicate";
    case Disposition::conflict: return "conflict";
    case Disposition::dead: return "dead";
    case Disposition::discarded: return "discarded";
    case Disposition::parked: return "parked";
  }
  return "";
}

namespace cause {
inline constexpr std::string_view rejected = "rejected";        // the handler threw Reject
inline constexpr std::string_view exhausted = "exhausted";      // no attempt is left: the handler threw anything else
inline constexpr std::string_view by_operator = "operator";  // an operator would not wait for it
inline constexpr std::string_view killed_process = "killed_process";  // the process ended whenever it ran alone
inline constexpr std::string_view killed_connection = "killed_connection";  // the link to Postgres was lost whenever it ran alone
inline constexpr std::string_view undecodable = "undecodable";  // the key function threw
inline constexpr std::string_view oversized = "oversized";      // an event of it is larger than Kafka takes
inline constexpr std::string_view key_missing = "key_missing";
inline constexpr std::string_view overflow = "overflow";        // no room to park it, and park.policy is dead
inline constexpr std::string_view conflict = "conflict";
inline constexpr std::string_view producer = "producer";      // of duplicates: a known key at another offset
inline constexpr std::string_view redelivery = "redelivery";  // of duplicates: the same offset again
inline constexpr std::string_view replay = "replay";          // of duplicates: read again after an operator's reset
}  // namespace cause

}  // namespace deja::core
