#include "audit/key_reader.h"

#include "core/strategy_words.h"

namespace deja::audit {

namespace {
using Key = core::RecordFacts::Key;
constexpr std::string_view header_words = "header ";

KeySource common(const core::KeyRecipe& recipe, const std::string& secret) {
  KeySource source;
  source.recipe = recipe;
  source.secret = secret;
  if (recipe.tenancy.starts_with(header_words)) source.tenant_header = recipe.tenancy.substr(header_words.size());
  return source;
}

bool secret_fits(KeySource& source) {
  const auto& wanted = source.recipe.secret_id;
  if (core::secret_id(source.secret) == wanted) return true;
  source.key = nullptr;
  source.remedy = wanted == "none" ? "these keys are made without key.secret, and one is configured here: leave it out"
                                   : "these keys are made with the key.secret of id " + wanted + ": configure that one here, or run PROGRAM --audit where it is configured";
  return false;
}
}  // namespace

KeySource key_source(const core::KeyRecipe& recipe, const std::string& secret) {
  auto source = common(recipe, secret);
  auto strategy = core::read_strategy(recipe.strategy);
  source.key_free = strategy.key_free;
  source.key = std::move(strategy.key);
  if (source.key_free || (source.key && !secret_fits(source))) return source;
  if (!source.key) source.remedy = "the idempotency strategy of handler " + recipe.handler + " is \"" + recipe.strategy + "\", which only the program can compute: run PROGRAM --audit";
  return source;
}

KeySource key_source(const core::KeyRecipe& recipe, const std::string& secret, const detail::HandlerSpec& handler) {
  auto source = common(recipe, secret);
  source.program = true;
  source.key_free = handler.key_free;
  source.key = handler.key;
  source.fingerprint = handler.fingerprint;
  source.ordering = handler.ordering;
  if (handler.name != recipe.handler || handler.strategy != recipe.strategy) {
    source.key = nullptr;
    source.remedy = "the keys of this topic were made by handler " + recipe.handler + " (" + recipe.strategy + "), which this program has not: audit with the program that has it";
  } else if (!source.key_free) {
    secret_fits(source);
  }
  return source;
}

std::optional<std::string> KeySource::ordering_key(const core::SourceRecord& record) const {
  if (ordering) try {
      return ordering(Record(record.view));
    } catch (...) {
    }
  if (record.view.key) return std::string(*record.view.key);
  return std::nullopt;
}

KeyReader::KeyReader(const KeySource& source) : source_(source), keys_(source.recipe.scope, source.recipe.handler, source.secret) {}

KeyReader::Read KeyReader::read(const core::SourceRecord& source) {
  if (source_.key_free) return {Key::free, {}, 0};
  if (!source_.key) return {Key::unknown, {}, 0};
  try {
    return known(Record(source.view), source);
  } catch (...) {  // whatever the program's function throws makes the record a dead letter
    return {Key::unreadable, {}, 0};
  }
}

KeyReader::Read KeyReader::known(const Record& record, const core::SourceRecord& source) {
  const auto raw = source_.key(record);
  if (!raw) return {Key::unreadable, {}, 0};
  std::optional<std::string_view> tenant;
  if (!source_.tenant_header.empty()) {
    tenant = record.header(source_.tenant_header);
    if (!tenant || tenant->empty()) return {Key::unreadable, {}, 0};
  }
  Read read;
  if (source_.fingerprint) {
    const auto fingerprint = source_.fingerprint(record);
    read.digest = core::payload_digest(digests_, fingerprint ? std::optional<std::string_view>(*fingerprint) : std::nullopt);
  } else {
    read.digest = core::payload_digest(digests_, source.view.value);
  }
  read.key = keys_.key(tenant, *raw);
  return read;
}

}  // namespace deja::audit
