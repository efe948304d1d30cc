#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include <deja/handler.h>

#include "core/audit_verdict.h"
#include "core/keys.h"
#include "core/source_record.h"

namespace deja::audit {

/// How the keys of a group's topic are made, as far as it is known here. Functions may be called from several threads.
struct KeySource {
  bool key_free = false;
  bool program = false;  ///< from the program itself: its fingerprint function is known too
  std::function<std::optional<std::string>(const Record&)> key;          ///< empty: see `remedy`
  std::function<std::optional<std::string>(const Record&)> fingerprint;  ///< empty: the value
  std::function<std::optional<std::string>(const Record&)> ordering;     ///< empty: the record key
  core::KeyRecipe recipe;
  std::string secret;
  std::string tenant_header;
  std::string remedy;  ///< why keys cannot be computed, and what to do

  /// What the record is ordered by: as the runtime has it, also where the function throws.
  std::optional<std::string> ordering_key(const core::SourceRecord& record) const;
};

/// From what the database says; `secret` is the configured one.
KeySource key_source(const core::KeyRecipe& recipe, const std::string& secret);
/// From the program's handler.
KeySource key_source(const core::KeyRecipe& recipe, const std::string& secret, const detail::HandlerSpec& handler);

/// Computes a record's key and digest as the runtime does. One for each thread; `source` must outlive it.
class KeyReader {
 public:
  explicit KeyReader(const KeySource& source);

  struct Read {
    core::RecordFacts::Key state = core::RecordFacts::Key::known;
    core::Uuid key;
    std::int64_t digest = 0;
  };
  Read read(const core::SourceRecord& record);

 private:
  Read known(const Record& record, const core::SourceRecord& source);
  const KeySource& source_;
  core::KeyMaker keys_;
  core::FramedHash digests_;
};

}  // namespace deja::audit
