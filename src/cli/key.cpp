#include "cli/context.h"

#include <cstdio>

#include "core/disposition.h"
#include "core/keys.h"
#include "postgres/key_lookup.h"
#include "postgres/migrations.h"

// `deja key`: what became of an idempotency key, handler by handler. The key is computed as the handler's programs do, by the recipe that
// they recorded.

namespace deja::cli {
namespace {

constexpr Field key_fields[] = {{"group"}, {"handler"}, {"status"}, {"topic"}, {"partition", FieldType::number}, {"offset", FieldType::number},
                            {"at", FieldType::time}, {"generation", FieldType::number}, {"payload_digest"}, {"events", FieldType::list}, {"first_event_id"},
                            {"dlq_id", FieldType::number}, {"replays", FieldType::number}, {"conflicts", FieldType::number}, {"recipe"}};

struct Question {
  std::string key, handler;
  std::optional<std::string> tenant;
};

/// Why a recipe cannot be followed. The command ends with it when no other recipe can be.
struct NoKey {
  int exit_code;
  std::string why;
};

/// Makes keys by recorded recipes, with the secrets that the configuration has.
class Computer {
 public:
  Computer(const config::Config& config, const Question& question) : question_(question) {
    for (const auto* key : {"key.secret", "keys.previous.secret"})
      if (const auto& secret = config.text(key); !secret.empty()) secrets_.push_back(secret);
    secrets_.emplace_back();
  }

  /// Throws NoKey.
  core::Uuid key(const core::KeyRecipe& recipe) const {
    if (recipe.strategy.starts_with("offset") || recipe.strategy == "payload")
      throw NoKey{exit_code::usage, "handler " + recipe.handler + " makes its keys from " + (recipe.strategy == "payload" ? "the whole record" : "nothing (by_offset)") +
                                        ": there is no key to name"};
    std::optional<std::string_view> tenant;
    if (recipe.tenancy != "none") {
      if (!question_.tenant)
        throw NoKey{exit_code::usage, "handler " + recipe.handler + " keeps the keys of tenants apart (" + recipe.tenancy + "): name one with --tenant"};
      tenant = *question_.tenant;
    }
    return core::KeyMaker(recipe.scope, recipe.handler, secret_of(recipe)).key(tenant, question_.key);
  }

 private:
  const std::string& secret_of(const core::KeyRecipe& recipe) const {
    for (const auto& secret : secrets_)
      if (core::secret_id(secret) == recipe.secret_id) return secret;
    throw NoKey{exit_code::configuration,
                "the keys of handler " + recipe.handler + " were made with another key.secret (its id is \"" + recipe.secret_id +
                    "\", that of the configured one \"" + core::secret_id(secrets_.front()) + "\"): use the configuration of its program"};
  }

  const Question& question_;
  std::vector<std::string> secrets_;
};

std::string hex(std::int64_t digest) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(digest));
  return text;
}

std::vector<core::Uuid> possible_events(const core::KeyRecipe& recipe, const core::Uuid& key) {
  constexpr std::int64_t most = 256;  // of one record; more are not looked for
  core::FramedHash hash;
  std::vector<core::Uuid> ids;
  for (std::int64_t ordinal = 0; ordinal < most; ++ordinal) ids.push_back(core::event_id(hash, recipe.scope, key, ordinal));
  return ids;
}

/// The dead letter that says what became of the key where no effect was committed: the newest that is no conflict, else the newest.
const postgres::LetterOfKey* telling(const std::vector<postgres::LetterOfKey>& letters) {
  for (auto letter = letters.rbegin(); letter != letters.rend(); ++letter)
    if (letter->cause != core::cause::conflict) return &*letter;
  return letters.empty() ? nullptr : &letters.back();
}

std::string status_of(const postgres::LetterOfKey& letter) {
  if (letter.cause == core::cause::conflict) return "conflict";
  if (letter.status == "discarded") return "discarded";
  return letter.cause == "expired" ? "expired" : "dead";
}

// A discard claims the key for the record itself, so that nothing takes effect under it (B4).
const postgres::LetterOfKey* discarding(const std::vector<postgres::LetterOfKey>& letters, const postgres::CommittedKey& key) {
  for (const auto& letter : letters)
    if (letter.status == "discarded" && letter.topic == key.topic && letter.partition == key.partition && letter.offset == key.offset) return &letter;
  return nullptr;
}

Row row_of(postgres::KeyLookup& lookup, const postgres::RecordedRecipe& recorded, const std::vector<std::pair<std::string, core::KeyRecipe>>& recipes,
           const std::vector<core::Uuid>& keys) {
  const auto& handler = recorded.recipes.now.handler;
  const auto letters = lookup.letters(recorded.group, keys);
  const auto* letter = telling(letters);
  std::int64_t conflicts = 0;
  for (const auto& l : letters) conflicts += l.cause == core::cause::conflict ? 1 : 0;
  const auto dlq_id = [&] { return letter != nullptr ? Cell(letter->id) : Cell(); };
  const auto replays = [&] { return letter != nullptr ? Cell(letter->replays) : Cell(); };
  bool discarded = false;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const auto found = lookup.committed(keys[i]);
    if (!found) continue;
    if (const auto* by = discarding(letters, *found)) {
      letter = by;
      discarded = true;
      break;
    }
    const auto ids = possible_events(recipes[i].second, keys[i]);
    std::vector<std::string> events;
    for (const auto& id : lookup.events(found->lane, ids)) events.push_back(core::to_text(id));
    return {recorded.group, handler, std::string("processed"), cell_of(found->topic), cell_of(found->partition), found->offset, found->at, found->generation,
            hex(found->digest), events, core::to_text(ids.front()), dlq_id(), replays(), conflicts, recipes[i].first};
  }
  if (const auto parked = discarded ? std::nullopt : lookup.parked(recorded.group, keys))
    return {recorded.group, handler, std::string("parked"), parked->topic, parked->partition, parked->offset, parked->first_seen, Cell(),
            parked->digest ? Cell(hex(*parked->digest)) : Cell(), std::vector<std::string>(), Cell(), dlq_id(), replays(), conflicts, Cell()};
  if (letter == nullptr)
    return {recorded.group, handler, std::string("unknown"), Cell(), Cell(), Cell(), Cell(), Cell(), Cell(), std::vector<std::string>(), Cell(), Cell(), Cell(), conflicts, Cell()};
  return {recorded.group, handler, status_of(*letter), letter->topic, letter->partition, letter->offset, letter->at, Cell(),
          letter->digest ? Cell(hex(*letter->digest)) : Cell(), std::vector<std::string>(), Cell(), dlq_id(), replays(), conflicts, Cell()};
}

int show(const Context& context, const Question& question) {
  Output output(context.list, key_fields);
  const auto config = context.load();
  const auto connection = open_postgres(config, "key");
  const auto& schema = config.text("postgres.schema");
  postgres::check_schema(*connection, schema);
  postgres::KeyLookup lookup(*connection, schema, context.group(config));
  const auto recorded = lookup.recipes(question.handler);
  if (recorded.empty() && !question.handler.empty()) throw Stop(exit_code::wrong_data, "no handler " + question.handler + " ever ran here (deja handlers)");
  const Computer computer(config, question);
  std::vector<NoKey> impossible;
  std::size_t shown = 0;
  constexpr std::size_t status = 2;  // of key_fields
  for (const auto& each : recorded) {
    std::vector<std::pair<std::string, core::KeyRecipe>> recipes;
    std::vector<core::Uuid> keys;
    const auto look_under = [&](const std::string& word, const core::KeyRecipe& recipe) {
      try {
        keys.push_back(computer.key(recipe));
        recipes.emplace_back(word, recipe);
      } catch (const NoKey& reason) {
        impossible.push_back(reason);
      }
    };
    look_under("now", each.recipes.now);
    if (each.recipes.previous) look_under("previous", *each.recipes.previous);
    if (keys.empty()) continue;
    const bool all_keys = recipes.size() == (each.recipes.previous ? 2U : 1U);
    auto row = row_of(lookup, each, recipes, keys);
    if (!all_keys && row[status] == Cell(std::string("unknown"))) continue;  // it may be known under the key that cannot be made
    ++shown;
    if (!output.row(std::move(row))) break;
  }
  if (shown == 0 && !impossible.empty()) throw Stop(impossible.front().exit_code, impossible.front().why);
  output.finish();
  for (const auto& reason : impossible) warn(reason.why);
  return exit_code::clean;
}

}  // namespace

void add_key(CLI::App& app, Context& context) {
  auto question = std::make_shared<Question>();
  auto* command = app.add_subcommand("key", "Shows what became of an idempotency key, handler by handler");
  command->add_option("KEY", question->key, "The key as it came: the header's value, or what the key function returns")->required();
  command->add_option("--handler", question->handler, "Only this handler")->type_name("NAME");
  command->add_option_function<std::string>("--tenant", [question](const std::string& tenant) { question->tenant = tenant; }, "The tenant whose key it is")
      ->type_name("TENANT");
  add_group_option(*command, context);
  add_list_options(*command, context, key_fields);
  command->callback([&context, question] { context.run = [&context, question] { return show(context, *question); }; });
}

}  // namespace deja::cli
