#include "audit/key_reader.h"

#include <algorithm>

#include "core/strategy_words.h"

namespace deja::audit {

namespace {
using Key = core::RecordFacts::Key;
constexpr std::string_view header_words = "header ";

using Secrets = std::vector<std::string>;

KeySource common(const core::KeyRecipe& recipe) {
  KeySource source;
  source.recipe = recipe;
  if (recipe.tenancy.starts_with(header_words)) source.tenant_header = recipe.tenancy.substr(header_words.size());
  return source;
}

// Without the secret there are no keys.
KeySource with_secret(KeySource source, const Secrets& secrets, const std::string& setting) {
  if (!source.key) return source;
  const auto& wanted = source.recipe.secret_id;
  const auto found = std::find_if(secrets.begin(), secrets.end(), [&](const auto& secret) { return core::secret_id(secret) == wanted; });
  if (found != secrets.end()) {
    source.secret = *found;
    return source;
  }
  source.key = nullptr;
  source.remedy = wanted == "none" ? "these keys are made without key.secret, and one is configured here: leave it out"
                                   : "these keys are made with the secret of id " + wanted + ": configure it here (" + setting + "), or run PROGRAM --audit where it is configured";
  return source;
}

KeySource by_words(const core::KeyRecipe& recipe) {
  auto source = common(recipe);
  auto strategy = core::read_strategy(recipe.strategy);
  source.key_free = strategy.key_free;
  source.key = std::move(strategy.key);
  if (!source.key_free && !source.key)
    source.remedy = "the idempotency strategy of handler " + recipe.handler + " is \"" + recipe.strategy + "\", which only the program can compute: run PROGRAM --audit";
  return source;
}

KeySource by_handler(const core::KeyRecipe& recipe, const detail::HandlerSpec& handler) {
  auto source = common(recipe);
  source.program = true;
  source.fingerprint = handler.fingerprint;
  source.ordering = handler.ordering;
  if (handler.name != recipe.handler || handler.strategy != recipe.strategy)
    source.remedy = "the keys of this topic were made by handler " + recipe.handler + " (" + recipe.strategy + "), which this program has not: audit with the program that has it";
  else if (handler.key_free)
    source.key_free = true;
  else
    source.key = handler.key;
  return source;
}

KeySource previous_by_handler(const core::KeyRecipe& recipe, const detail::HandlerSpec& handler) {
  auto source = by_words(recipe);
  if (source.key_free) return source;
  if (handler.previous_key && handler.previous_strategy == recipe.strategy) source.key = handler.previous_key;
  else if (handler.strategy == recipe.strategy) source.key = handler.key;
  if (source.key) source.remedy.clear();
  else source.remedy = "the keys before were made by \"" + recipe.strategy + "\", which this program has not as previous_idempotency: audit with the program that has it";
  return source;
}

KeySource previous(KeySource source, Secrets secrets) {
  secrets.emplace_back();  // that there was none need not be configured
  if (source.key_free) source.remedy = "the recipe before had no keys (" + source.recipe.strategy + "), so no effect of it can be proved: audit what came after the change (--from)";
  return with_secret(std::move(source), secrets, "keys.previous.secret");
}
}  // namespace

KeySources key_sources(const core::KeyRecipes& recipes, const Secrets& secrets) {
  KeySources sources{with_secret(by_words(recipes.now), secrets, "key.secret")};
  if (recipes.previous) sources.previous = previous(by_words(*recipes.previous), secrets);
  return sources;
}

KeySources key_sources(const core::KeyRecipes& recipes, const Secrets& secrets, const detail::HandlerSpec& handler) {
  KeySources sources{with_secret(by_handler(recipes.now, handler), secrets, "key.secret")};
  auto before = recipes.previous;
  // a key function may have changed where the words for it have not
  if (!before && handler.previous_key && handler.previous_strategy == recipes.now.strategy) before = recipes.now;
  if (before) sources.previous = previous(previous_by_handler(*before, handler), secrets);
  return sources;
}

KeyReader::KeyReader(const KeySources& sources) : sources_(sources), keys_(sources.now.recipe.scope, sources.now.recipe.handler, sources.now.secret) {
  if (const auto& p = sources_.previous; p && p->key) previous_keys_.emplace(p->recipe.scope, p->recipe.handler, p->secret);
}

KeyReader::Read KeyReader::read(const core::SourceRecord& source) {
  const Record record(source.view);
  Read read;
  try {
    if (sources_.any_key()) read.digest = digest(record, source);
    if (const auto key = key_of(sources_.now, keys_, record)) read.keys[read.count++] = *key;
    if (previous_keys_)
      if (const auto key = key_of(*sources_.previous, *previous_keys_, record); key && (read.count == 0 || *key != read.keys[0])) read.keys[read.count++] = *key;
  } catch (...) {  // whatever a fingerprint function throws makes the record a dead letter
    read.count = 0;
  }
  if (read.count > 0) read.state = Key::known;
  else if (!sources_.all_keys()) read.state = Key::unknown;
  else read.state = sources_.now.key_free ? Key::free : Key::unreadable;
  return read;
}

// Nothing: it has none, or is a dead letter for what the program's function throws.
std::optional<core::Uuid> KeyReader::key_of(const KeySource& source, core::KeyMaker& maker, const Record& record) try {
  const auto raw = source.key ? source.key(record) : std::nullopt;
  if (!raw) return std::nullopt;
  std::optional<std::string_view> tenant;
  if (!source.tenant_header.empty()) {
    tenant = record.header(source.tenant_header);
    if (!tenant || tenant->empty()) return std::nullopt;
  }
  return maker.key(tenant, *raw);
} catch (...) {
  return std::nullopt;
}

std::int64_t KeyReader::digest(const Record& record, const core::SourceRecord& source) {
  if (!sources_.now.fingerprint) return core::payload_digest(digests_, source.view.value);
  const auto fingerprint = sources_.now.fingerprint(record);
  return core::payload_digest(digests_, fingerprint ? std::optional<std::string_view>(*fingerprint) : std::nullopt);
}

}  // namespace deja::audit
