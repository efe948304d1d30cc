#include "cli/dlq_choice.h"
#include "core/header_json.h"
#include "core/json_lines.h"
#include "postgres/migrations.h"
#include "postgres/rights.h"

// Dead letters as JSON lines of records, any bytes as they came: for `deja dlq import`, `deja send --file` and whatever reads JSON.

namespace deja::cli {
namespace {

const auto export_words = letter_words("Dead letters", "dead letters, whatever their status,");

core::RecordLine line_of(const postgres::DeadLetter& letter) {
  core::RecordLine line;
  line.key = letter.row.record_key;
  line.value = letter.value;
  for (const auto& header : core::parse_headers_json(letter.headers))
    line.headers.emplace_back(header.name, header.value.has_value() ? std::optional<std::string>(header.value.view()) : std::nullopt);
  line.topic = letter.row.topic;
  line.partition = static_cast<std::int32_t>(letter.row.partition);
  line.offset = letter.row.offset;
  return line;
}

int export_letters(const Context& context, const RecordChoice& choice) {
  check_choice(choice, export_words);
  const auto filter = filter_of(choice.filter, dead_letter_fields());
  const auto config = context.load();
  const auto group = context.group(config);
  if (choice.ids.empty() && group.empty()) throw Stop(exit_code::usage, "dlq export: of which group? Give --group GROUP or set group.id");
  const auto connection = open_postgres(config, "dlq export");
  const auto& schema = config.text("postgres.schema");
  postgres::check_schema(*connection, schema);
  postgres::require(*connection, schema, postgres::Duty::read_payloads, "dlq export");
  // one after the other: the payloads of all of them need not fit into memory
  postgres::Admin admin(*connection, schema, group);
  for (const auto& letter : choose_letters(*connection, schema, group, choice, filter, {}, "exported").letters)
    if (const auto whole = admin.dead_letter(letter.id, postgres::Payload::read)) print(core::format_record_line(line_of(*whole)) + "\n");
  flush();
  return exit_code::clean;
}

}  // namespace

void add_dlq_export(CLI::App& dlq, Context& context) {
  auto choice = std::make_shared<RecordChoice>();
  auto* command = dlq.add_subcommand("export", "Writes dead letters as JSON lines: key, value, headers, topic, partition, offset");
  add_record_choice(*command, *choice, export_words);
  add_group_option(*command, context);
  command->callback([&context, choice] { context.run = [&context, choice] { return export_letters(context, *choice); }; });
}

}  // namespace deja::cli
