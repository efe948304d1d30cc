#include <unistd.h>

#include <nlohmann/json.hpp>

#include "cli/dlq.h"
#include "cli/payload.h"
#include "core/base64.h"
#include "core/header_json.h"
#include "core/utf8.h"
#include "postgres/migrations.h"
#include "postgres/rights.h"

namespace deja::cli {
namespace {

constexpr Field fields_of_dead_letters[] = {
    {"id", FieldType::number}, {"group"}, {"handler"}, {"topic"}, {"partition", FieldType::number}, {"offset", FieldType::number},
    {"record_key", FieldType::bytes}, {"idempotency_key", FieldType::bytes}, {"cause"}, {"stage"}, {"error"}, {"fingerprint"}, {"build"},
    {"attempts", FieldType::number}, {"size", FieldType::number}, {"first_failed_at", FieldType::time}, {"dead_at", FieldType::time}, {"status"},
    {"replays", FieldType::number}, {"action_id", FieldType::number}};

int list(const Context& context, const std::string& text) {
  Output output(context.list, dead_letter_fields());
  const auto config = context.load();
  const auto connection = open_postgres(config, "dlq list");
  const auto& schema = config.text("postgres.schema");
  postgres::check_schema(*connection, schema);
  postgres::Admin::DeadLetterQuestion question;
  if (!text.empty()) {
    postgres::require(*connection, schema, postgres::Duty::read_payloads, "dlq list --text", "Look in the errors alone: --filter 'error~TEXT'");
    question.text = text;
  }
  postgres::Admin(*connection, schema, context.group(config)).dead_letters(question, [&](const auto& row) { return output.row(to_row(row)); });
  output.finish();
  return exit_code::clean;
}

struct ShowOptions {
  std::int64_t id = 0;
  std::string form;
  bool redacted = false;
};

nlohmann::ordered_json json_bytes(const std::optional<std::string>& bytes) {
  if (!bytes) return nullptr;
  if (core::is_utf8(*bytes)) return *bytes;
  return {{"base64", core::base64(*bytes)}};
}

void redact(postgres::DeadLetter& letter) {
  constexpr auto hidden = "(redacted)";
  if (letter.row.record_key) letter.row.record_key = hidden;
  if (letter.row.idempotency_key) letter.row.idempotency_key = hidden;
  letter.value = hidden;
  letter.row.error = hidden;  // it may quote the payload
  auto failures = nlohmann::ordered_json::parse(letter.failures);
  for (auto& failure : failures) failure["error"] = hidden;
  letter.failures = failures.dump();
  for (auto& edit : letter.edits) edit.value = hidden;
}

void show_json(const postgres::DeadLetter& letter) {
  auto json = nlohmann::ordered_json::parse(json_line(to_row(letter.row), dead_letter_fields()));
  json["value"] = json_bytes(letter.value);
  json["headers"] = nlohmann::ordered_json::parse(letter.headers);
  json["record_at"] = letter.record_at;
  json["first_seen"] = letter.first_seen;
  json["failures"] = nlohmann::ordered_json::parse(letter.failures);
  json["edits"] = nlohmann::ordered_json::array();
  for (const auto& e : letter.edits)
    json["edits"].push_back({{"action_id", e.action}, {"at", e.at}, {"who", e.who}, {"reason", e.reason}, {"value_before", json_bytes(e.value)}, {"headers_before", nlohmann::ordered_json::parse(e.headers)}});
  json["conflict_topic"] = letter.conflict_topic ? nlohmann::ordered_json(*letter.conflict_topic) : nullptr;
  json["conflict_partition"] = letter.conflict_partition ? nlohmann::ordered_json(*letter.conflict_partition) : nullptr;
  json["conflict_offset"] = letter.conflict_offset ? nlohmann::ordered_json(*letter.conflict_offset) : nullptr;
  print(json.dump() + "\n");
}

void show_text(const postgres::DeadLetter& letter, const std::string& form) {
  const auto payload = shown(letter.value, form, ::isatty(STDOUT_FILENO) == 1);
  const auto line = [](std::string_view name, const std::string& value) { print(std::string(name) + std::string(18 - std::min<std::size_t>(17, name.size()), ' ') + value + "\n"); };
  const auto row = to_row(letter.row);
  for (std::size_t i = 0; i < row.size(); ++i) line(dead_letter_fields()[i].name, plain(row[i], dead_letter_fields()[i].type));
  line("record_at", letter.record_at);
  line("first_seen", letter.first_seen);
  if (letter.conflict_offset) {
    line("conflict_with", letter.conflict_topic.value_or("?") + "/" + std::to_string(letter.conflict_partition.value_or(-1)) + " offset " +
                              std::to_string(*letter.conflict_offset));
  }
  for (const auto& failure : nlohmann::json::parse(letter.failures))
    line("attempt " + std::to_string(failure.at("attempt").get<int>()), failure.at("at").get<std::string>() + " " + failure.at("stage").get<std::string>() + ": " +
                                                                        plain(Cell(failure.at("error").get<std::string>()), FieldType::text) + " (build " + failure.at("build").get<std::string>() + ")");
  for (const auto& e : letter.edits) line("edited", e.at + " by " + e.who + ": " + plain(Cell(e.reason), FieldType::text) + " (action " + std::to_string(e.action) + ", --output json has what it was)");
  for (const auto& header : core::parse_headers_json(letter.headers)) {
    const auto value = header.value.has_value() ? std::optional<std::string>(header.value.view()) : std::nullopt;
    line("header", plain(Cell(header.name), FieldType::text) + ": " + plain(cell_of(value), FieldType::bytes));
  }
  print("\n" + payload + "\n");
}

int show(const Context& context, const ShowOptions& options) {
  const auto config = context.load();
  const auto connection = open_postgres(config, "dlq show");
  const auto& schema = config.text("postgres.schema");
  postgres::check_schema(*connection, schema);
  if (!options.redacted) postgres::require(*connection, schema, postgres::Duty::read_payloads, "dlq show", "Give --redacted");
  auto letter = postgres::Admin(*connection, schema, "").dead_letter(options.id, options.redacted ? postgres::Payload::hidden : postgres::Payload::read);
  if (!letter) throw Stop(exit_code::wrong_data, "there is no dead letter " + std::to_string(options.id));
  if (options.redacted) redact(*letter);
  if (context.list.format == Format::json) {
    show_json(*letter);
  } else {
    show_text(*letter, options.redacted ? "" : options.form);
  }
  flush();
  return exit_code::clean;
}

}  // namespace

std::span<const Field> dead_letter_fields() { return fields_of_dead_letters; }

Row to_row(const postgres::DeadLetterRow& d) {
  return {d.id, d.group, d.handler, d.topic, d.partition, d.offset, cell_of(d.record_key), cell_of(d.idempotency_key), d.cause, d.stage, d.error,
          d.fingerprint, d.build, d.attempts, d.size, d.first_failed_at, d.dead_at, d.status, d.replays, cell_of(d.action_id)};
}

void add_dlq(CLI::App& app, Context& context) {
  auto* dlq = app.add_subcommand("dlq", "Dead letters: records that could not be handled");
  dlq->require_subcommand(1);

  auto* list_command = dlq->add_subcommand("list", "Lists dead letters, oldest first");
  add_group_option(*list_command, context);
  add_list_options(*list_command, context, dead_letter_fields());
  auto text = std::make_shared<std::string>();
  list_command->add_option("--text", *text, "Only those that have this text in their value, keys, headers or error, in just these letters")->type_name("TEXT");
  list_command->callback([&context, text] { context.run = [&context, text] { return list(context, *text); }; });

  auto options = std::make_shared<ShowOptions>();
  auto* show_command = dlq->add_subcommand("show", "Shows one dead letter with its record");
  show_command->add_option("ID", options->id, "The dead letter's id")->required();
  show_command->add_option("--as", options->form, "Form of the value in the table output")->check(CLI::IsMember({"text", "json", "hex", "base64"}));
  show_command->add_flag("--redacted", options->redacted, "Hide keys, value, headers and the error");
  add_output_option(*show_command, context);
  show_command->callback([&context, options] { context.run = [&context, options] { return show(context, *options); }; });
  add_dlq_stats(*dlq, context);
  add_dlq_replay(*dlq, context);
  add_dlq_edit(*dlq, context);
  add_dlq_export(*dlq, context);
  add_dlq_import(*dlq, context);
  add_dlq_discard(*dlq, context);
  add_dlq_actions(*dlq, context);
}

}  // namespace deja::cli
