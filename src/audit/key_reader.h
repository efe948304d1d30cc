#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <deja/handler.h>

#include "core/audit_verdict.h"
#include "core/key_change.h"
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
};

/// While a recipe changes (keys.previous), a record has its effect under the keys of either.
struct KeySources {
  KeySource now;
  std::optional<KeySource> previous = {};

  bool any_key() const { return now.key || (previous && previous->key); }
  /// Whether all keys of a record are known here. Effects of a key-free recipe have none.
  bool all_keys() const { return (now.key_free || now.key) && (!previous || previous->key); }
  const std::string& remedy() const { return now.remedy.empty() && previous ? previous->remedy : now.remedy; }
};

/// From what the database says; `secrets` are those that are configured.
KeySources key_sources(const core::KeyRecipes& recipes, const std::vector<std::string>& secrets);
/// From the program's handler.
KeySources key_sources(const core::KeyRecipes& recipes, const std::vector<std::string>& secrets, const detail::HandlerSpec& handler);

/// Computes a record's keys and digest as the runtime does. One for each thread; `sources` must outlive it.
class KeyReader {
 public:
  explicit KeyReader(const KeySources& sources);

  struct Read {
    core::RecordFacts::Key state = core::RecordFacts::Key::known;
    std::array<core::Uuid, 2> keys = {};
    std::size_t count = 0;  // of the keys
    std::int64_t digest = 0;
  };
  Read read(const core::SourceRecord& record);

 private:
  static std::optional<core::Uuid> key_of(const KeySource& source, core::KeyMaker& maker, const Record& record);
  std::int64_t digest(const Record& record, const core::SourceRecord& source);
  const KeySources& sources_;
  core::KeyMaker keys_;
  std::optional<core::KeyMaker> previous_keys_;
  core::FramedHash digests_;
};

}  // namespace deja::audit
