#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "core/source_record.h"

namespace deja::core {

/// How the records of a partition map to its lanes (L5). Stored with the lanes: a record must never map to a lane that is past it.
struct LaneMap {
  std::int32_t lanes = 1;
  std::int32_t hash_version = 1;
  std::string ordering = "record key";  // in words

  /// A single lane has all records, whatever orders them.
  friend bool operator==(const LaneMap& a, const LaneMap& b) {
    return a.lanes == b.lanes && (a.lanes == 1 || (a.hash_version == b.hash_version && a.ordering == b.ordering));
  }
};

/// What the record is ordered by: `ordering`'s key, else (and where it throws) the record key.
std::optional<std::string> ordering_key(const std::function<std::optional<std::string>(const Record&)>& ordering, const SourceRecord& source);

/// A hash of what the record is ordered by; nothing: it is ordered with nothing. Never changes: lanes and parked records are found by it.
/// Two keys with one hash would be ordered with each other, which breaks nothing.
/// Source: FNV-1a, 64 bits (draft-eastlake-fnv), finished with the mixer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
std::optional<std::uint64_t> ordering_hash(const std::function<std::optional<std::string>(const Record&)>& ordering, const SourceRecord& source);
std::uint64_t ordering_hash(std::string_view ordering_key);

/// The lane of a record among `lanes`: a pure function of stored bytes. Records of one ordering key share a lane; one without any
/// is ordered with nothing and goes by its offset.
std::int32_t lane_of(std::optional<std::string_view> ordering_key, std::int64_t offset, std::int32_t lanes);

}  // namespace deja::core
