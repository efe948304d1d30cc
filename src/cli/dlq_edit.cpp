#include <iostream>

#include <nlohmann/json.hpp>

#include "cli/change.h"
#include "cli/dlq.h"
#include "cli/lane_transaction.h"
#include "cli/text_editor.h"
#include "core/header_json.h"
#include "core/json_lines.h"
#include "core/utf8.h"
#include "postgres/dead_letter_admin.h"
#include "postgres/explain.h"
#include "postgres/rights.h"

// A dead letter's value or headers are mended, under the key that it came with. What it was before is kept.

namespace deja::cli {
namespace {

constexpr Field edit_fields[] = {{"action_id", FieldType::number}, {"id", FieldType::number}, {"size", FieldType::number}, {"edits", FieldType::number}};

struct EditOptions {
  std::int64_t id = 0;
  std::string value_file, headers_file;
  bool in_headers = false;
  ChangeOptions change;
};

using Content = postgres::DeadLetterAdmin::Content;

bool is_json(std::string_view text) { return nlohmann::json::accept(text); }

std::string headers_text(const std::string& headers) {  // one a line, so that a diff of them can be read
  std::string text = "[";
  for (const auto& header : nlohmann::ordered_json::parse(headers)) text += (text.size() > 1 ? ",\n  " : "\n  ") + header.dump();
  return text + (text.size() > 1 ? "\n]\n" : "]\n");
}

// In the form that records have in files; what comes back is as deja stores it.
std::string headers_of(const std::string& text) {
  try {
    const auto line = core::parse_record_line("{\"headers\": " + nlohmann::ordered_json::parse(text).dump() + "}");
    std::vector<EventHeader> headers;
    for (const auto& [name, value] : line.headers) headers.push_back({name, value ? Bytes(*value) : Bytes()});
    return core::headers_json(headers);
  } catch (const nlohmann::json::exception&) {
    throw Stop(exit_code::wrong_data, "the headers are no JSON any more: [[\"name\", \"value\"], ..]; nothing was changed");
  } catch (const core::MalformedLine& error) {
    throw Stop(exit_code::wrong_data, std::string(error.what()) + "; nothing was changed");
  }
}

std::string value_of(const std::optional<std::string>& before, const std::string& text) {
  if (before && is_json(*before) && !is_json(text)) throw Stop(exit_code::wrong_data, "the value was JSON and is none any more; nothing was changed");
  return text;
}

// Editors end a file with a line break.
std::string without_added_newline(const std::string& before, std::string text) {
  if (!before.ends_with('\n') && text.ends_with('\n')) text.pop_back();
  return text;
}

Content read_back(const EditOptions& options, const Content& before, const TemporaryFile& written) {
  auto after = before;
  const auto text = read_file(written.path());
  if (options.in_headers) {
    after.headers = headers_of(text);
  } else if (const auto value = before.value.value_or(""); without_added_newline(value, text) != value) {
    after.value = value_of(before.value, without_added_newline(value, text));
  }
  return after;
}

Content from_files(const EditOptions& options, const Content& before) {
  auto after = before;
  if (!options.value_file.empty()) after.value = value_of(before.value, read_file(options.value_file));
  if (!options.headers_file.empty()) after.headers = headers_of(read_file(options.headers_file));
  return after;
}

std::unique_ptr<TemporaryFile> in_editor(const EditOptions& options, const Content& before) {
  if (options.in_headers) return edit_text(headers_text(before.headers), ".json");
  const auto value = before.value.value_or("");
  if (!core::is_utf8(value)) throw Stop(exit_code::wrong_data, "its value is no text: write the mended one to a file, and give that with --value FILE");
  return edit_text(value, is_json(value) ? ".json" : ".txt");
}

void show_difference(const Content& before, const Content& after) {
  const auto text = [](const Content& c) { return "value:\n" + (c.value ? core::is_utf8(*c.value) ? *c.value : "(" + std::to_string(c.value->size()) + " bytes)" : "(null)") + "\nheaders:\n" + headers_text(c.headers); };
  for (const char c : difference_of(text(before), text(after))) std::cerr << (((static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7f) ? '?' : c);  // a payload may have a terminal's commands
}

// Returns the action's number.
std::int64_t save(postgres::Connection& connection, const std::string& schema, const EditOptions& options, const postgres::DeadLetter& letter, const Content& before, const Content& after) {
  const auto name = "dead letter " + std::to_string(options.id);
  show_difference(before, after);
  confirm(options.change, {name + " (" + letter.row.topic + "/" + std::to_string(letter.row.partition) + " offset " + std::to_string(letter.row.offset) + ") becomes that, under the key that it came with"});
  postgres::DeadLetterAdmin admin(connection, schema);
  const auto action = postgres::explained(connection, [&] { return admin.begin_action(letter.row.group, "edit", options.change.reason, 1); });
  bool changed = false;
  try {
    in_lane_transaction(connection, schema, {"dlq edit", letter.row.group, options.change.reason, {}}, name, [&]() -> std::optional<std::string> {
      changed = admin.edit(options.id, before, after, action);
      if (!changed) return std::nullopt;
      return nlohmann::ordered_json({{"action_id", action}, {"id", options.id}, {"value", after.value != before.value}, {"headers", after.headers != before.headers}}).dump();
    });
    if (!changed) throw Stop(exit_code::try_again, name + " was changed meanwhile by somebody else: look at it again; nothing was changed");
  } catch (const Stop& stop) {
    admin.stop_action(action, 1, stop.what());
    throw;
  }
  return action;
}

int edit(const Context& context, const EditOptions& options) {
  check_change(options.change);
  if (options.in_headers && (!options.value_file.empty() || !options.headers_file.empty()))
    throw Stop(exit_code::usage, "--in-headers opens the headers in an editor: not with --value FILE or --headers FILE");
  Output output(context.list, edit_fields);
  const auto config = context.load();
  const auto connection = open_for_change(config, "dlq edit");
  const auto& schema = config.text("postgres.schema");
  postgres::require(*connection, schema, postgres::Duty::read_payloads, "dlq edit");
  postgres::Admin reader(*connection, schema, "");
  const auto letter = reader.dead_letter(options.id, postgres::Payload::read);
  const auto name = "dead letter " + std::to_string(options.id);
  if (!letter) throw Stop(exit_code::wrong_data, "there is no " + name + ": deja dlq list");
  if (letter->row.status != "open") throw Stop(exit_code::wrong_data, name + " is " + letter->row.status + " and cannot be edited; nothing was changed");
  const Content before{letter->value, letter->headers};
  const bool by_files = !options.value_file.empty() || !options.headers_file.empty();
  const auto written = by_files ? nullptr : in_editor(options, before);
  try {
    const auto after = by_files ? from_files(options, before) : read_back(options, before, *written);
    if (after.value == before.value && after.headers == before.headers) {
      std::cerr << name << " is as it was: nothing was changed\n";
      return exit_code::clean;
    }
    const auto action = save(*connection, schema, options, *letter, before, after);
    const auto now = reader.dead_letter(options.id, postgres::Payload::hidden);
    output.row({action, options.id, now->row.size, static_cast<std::int64_t>(now->edits.size())});
  } catch (const Stop& stop) {
    if (!written) throw;
    written->keep();
    throw Stop(stop.exit_code(), std::string(stop.what()) + "; what you wrote is in " + written->path() + ": mend it and give it with " + (options.in_headers ? "--headers" : "--value") + " FILE, or delete it");
  }
  output.finish();
  return exit_code::clean;
}
}  // namespace

void add_dlq_edit(CLI::App& dlq, Context& context) {
  auto o = std::make_shared<EditOptions>();
  auto* command = dlq.add_subcommand("edit", "Mends the value or the headers of an open dead letter; it keeps its idempotency key");
  command->add_option("ID", o->id, "The dead letter's id")->required();
  command->add_option("--value", o->value_file, "The new value, as the file's bytes are (- for stdin). Without it: in $VISUAL or $EDITOR")->type_name("FILE");
  command->add_option("--headers", o->headers_file, "The new headers: [[\"name\", \"value\"], ..] (- for stdin)")->type_name("FILE");
  command->add_flag("--in-headers", o->in_headers, "Edit the headers, not the value, in $VISUAL or $EDITOR");
  add_change_options(*command, o->change);
  add_output_option(*command, context);
  command->callback([&context, o] { context.run = [&context, o] { return edit(context, *o); }; });
}

}  // namespace deja::cli
