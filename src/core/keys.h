#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/hash.h"
#include "core/uuid.h"

namespace deja::core {

/// What makes a key of a raw key. Stored per group and topic and compared at every start: with another recipe every key
/// would silently be forgotten.
struct KeyRecipe {
  std::string handler;
  std::string scope;
  std::string strategy;   // in words
  std::string tenancy;    // "none" or "header X"
  std::string secret_id;  // "none" or a short hash of the secret

  friend bool operator==(const KeyRecipe&, const KeyRecipe&) = default;
};

/// "none", or 16 hex digits that tell two secrets apart and nothing about either.
std::string secret_id(std::string_view secret);

/// The first difference in words, both sides named: `dedup.scope was "a" and is now "b"`. Empty when there is none.
std::string difference(const KeyRecipe& one, const KeyRecipe& other, std::string_view of_one = "was", std::string_view of_other = "is now");

/// key = first 16 bytes of SHA-256 (HMAC with a secret) over the length-prefixed (scope, handler, tenant, raw key).
/// Not for two threads at once.
class KeyMaker {
 public:
  KeyMaker(std::string scope, std::string handler, std::string_view secret);
  Uuid key(std::optional<std::string_view> tenant, std::string_view raw);

 private:
  std::string scope_, handler_;
  FramedHash hash_;
};

/// Tells payloads under one key apart.
std::int64_t payload_digest(FramedHash& hash, std::optional<std::string_view> payload);

/// Event ids are the same however often the record runs, so that receivers can drop repeats.
Uuid event_id(FramedHash& hash, std::string_view scope, const Uuid& key, std::int64_t ordinal);
Uuid event_id(FramedHash& hash, std::string_view scope, std::string_view topic, std::int32_t partition, const Uuid& incarnation,
              std::int64_t offset, std::int64_t ordinal);
Uuid dead_letter_event_id(FramedHash& hash, std::string_view scope, std::string_view topic, std::int32_t partition,
                          std::int64_t offset, std::int32_t replays);

}  // namespace deja::core
