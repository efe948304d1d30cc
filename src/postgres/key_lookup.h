#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/key_change.h"
#include "core/uuid.h"
#include "postgres/connection.h"

// What became of an idempotency key. Read-only; threading and errors as in postgres/admin.h.

namespace deja::postgres {

/// How a handler's keys are made, as it was recorded.
struct RecordedRecipe {
  std::string group;
  core::KeyRecipes recipes;
};

/// Where the effect of a key was committed. `topic` is absent when the lane's row is gone.
struct CommittedKey {
  std::int32_t lane = 0;
  std::optional<std::string> topic;
  std::optional<std::int64_t> partition;
  std::int64_t offset = 0, generation = 0, digest = 0;
  std::string at;
};

struct LetterOfKey {
  std::int64_t id = 0, replays = 0;
  std::string cause, status, topic;
  std::int64_t partition = 0, offset = 0;
  std::optional<std::int64_t> digest;
  std::string at;
};

struct ParkedKey {
  std::string topic;
  std::int64_t partition = 0, offset = 0;
  std::optional<std::int64_t> digest;
  std::string first_seen;
};

class KeyLookup {
 public:
  /// `group` empty: all groups.
  KeyLookup(Connection& connection, std::string schema, std::string group);

  /// One for each group and handler, or more where topics differ; of `handler` alone when it is not empty.
  std::vector<RecordedRecipe> recipes(const std::string& handler);
  std::optional<CommittedKey> committed(const core::Uuid& key);
  /// Oldest first.
  std::vector<LetterOfKey> letters(const std::string& group, const std::vector<core::Uuid>& keys);
  /// The first record under one of the keys that is parked.
  std::optional<ParkedKey> parked(const std::string& group, const std::vector<core::Uuid>& keys);
  /// Those of the ids that are in the outbox, in their order of publication.
  std::vector<core::Uuid> events(std::int32_t lane, const std::vector<core::Uuid>& ids);

 private:
  pqxx::result ask(const std::string& sql, const std::vector<std::optional<std::string>>& arguments);

  Connection& connection_;
  const std::string schema_, group_;
};

}  // namespace deja::postgres
