#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <deja/handler.h>

#include "core/keys.h"
#include "core/redelivery.h"
#include "core/source_record.h"
#include "core/uuid.h"
#include "postgres/parked_store.h"
#include "runtime/key_source.h"

namespace deja::runtime {

/// A record with its key and digest, or why it has none.
struct PreparedRecord {
  const core::SourceRecord* source = nullptr;
  std::optional<core::Uuid> key;  // nothing: key-free, or failed
  std::optional<core::Uuid> previous_key;  // while keys.previous is set: of the recipe before, where that is another one
  std::string raw_key;
  std::int64_t digest = 0;
  std::optional<core::Trouble> trouble;  // nothing: fine
  std::string error;
  std::optional<std::uint64_t> ordering;  // hash of what orders it; nothing: it is ordered with nothing
  const postgres::ParkedRow* parked = nullptr;  // where it comes from, when it was parked

  /// An operator edited it: it keeps the key that it came under, and the digest. Without one it gets what its bytes say now.
  void known_as(const postgres::ParkedRow::Replay::Kept& kept);

  template <class Visit>
  void each_key(Visit&& visit) const {
    if (key) visit(*key);
    if (previous_key) visit(*previous_key);
  }
};

/// Computes keys for the records of one handler. Not for two threads at once.
class Preparer {
 public:
  /// `several_lanes`: the ordering key says which lane has the record, so it must be there.
  Preparer(const detail::HandlerSpec& spec, const KeySettings& settings, bool several_lanes = false);
  PreparedRecord prepare(const core::SourceRecord& source);

 private:
  void add_previous_key(PreparedRecord& prepared, const Record& record);

  const detail::HandlerSpec& spec_;
  const bool several_lanes_;
  const KeySources sources_;
  core::KeyMaker keys_;
  std::optional<core::KeyMaker> previous_keys_;
  core::FramedHash digests_;
};

/// Records side by side, as handlers of batches take them. Record can be neither copied nor moved, so they are built in place.
class RecordArray {
 public:
  explicit RecordArray(const std::vector<const PreparedRecord*>& records);
  ~RecordArray();
  RecordArray(const RecordArray&) = delete;
  RecordArray& operator=(const RecordArray&) = delete;
  std::span<const Record> span() const { return {records_, size_}; }

 private:
  Record* records_ = nullptr;
  std::size_t capacity_ = 0, size_ = 0;
};

}  // namespace deja::runtime
