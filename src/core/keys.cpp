#include "core/keys.h"

namespace deja::core {

std::string secret_id(std::string_view secret) {
  if (secret.empty()) return "none";
  return to_text(FramedHash(secret).part("deja secret id").finish_uuid()).substr(0, 18);
}

std::string difference(const KeyRecipe& one, const KeyRecipe& other, std::string_view of_one, std::string_view of_other) {
  const auto differs = [&](const char* what, const std::string& a, const std::string& b) {
    return a == b ? std::string() : std::string(what) + " " + std::string(of_one) + " \"" + a + "\" and " + std::string(of_other) + " \"" + b + "\"";
  };
  for (const auto& sentence : {differs("handler name", one.handler, other.handler), differs("dedup.scope", one.scope, other.scope),
                               differs("idempotency strategy", one.strategy, other.strategy), differs("tenant.header", one.tenancy, other.tenancy),
                               differs("key.secret (its id)", one.secret_id, other.secret_id)})
    if (!sentence.empty()) return sentence;
  return {};
}

KeyMaker::KeyMaker(std::string scope, std::string handler, std::string_view secret)
    : scope_(std::move(scope)), handler_(std::move(handler)), hash_(secret) {}

Uuid KeyMaker::key(std::optional<std::string_view> tenant, std::string_view raw) {
  return hash_.part(scope_).part(handler_).maybe(tenant).part(raw).finish_uuid();
}

std::int64_t payload_digest(FramedHash& hash, std::optional<std::string_view> payload) {
  return hash.maybe(payload).finish_int64();
}

Uuid event_id(FramedHash& hash, std::string_view scope, const Uuid& key, std::int64_t ordinal) {
  return hash.part("event").part(scope).part(key).part(ordinal).finish_uuid();
}

Uuid event_id(FramedHash& hash, std::string_view scope, std::string_view topic, std::int32_t partition, const Uuid& incarnation,
              std::int64_t offset, std::int64_t ordinal) {
  return hash.part("event by offset").part(scope).part(topic).part(std::int64_t{partition}).part(incarnation).part(offset)
      .part(ordinal).finish_uuid();
}

Uuid dead_letter_event_id(FramedHash& hash, std::string_view scope, std::string_view topic, std::int32_t partition,
                          std::int64_t offset, std::int32_t replays) {
  return hash.part("dlq").part(scope).part(topic).part(std::int64_t{partition}).part(offset).part(std::int64_t{replays})
      .finish_uuid();
}

}  // namespace deja::core
