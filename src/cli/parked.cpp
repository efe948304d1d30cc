#include "cli/parked.h"

#include "postgres/migrations.h"

namespace deja::cli {
namespace {

constexpr Field fields_of_parked[] = {
    {"id", FieldType::number}, {"group"}, {"handler"}, {"topic"}, {"partition", FieldType::number}, {"lane", FieldType::number}, {"offset", FieldType::number},
    {"record_key", FieldType::bytes}, {"idempotency_key", FieldType::bytes}, {"attempt", FieldType::number}, {"starts", FieldType::number},
    {"next_at", FieldType::time}, {"cause"}, {"behind", FieldType::number}, {"error"}, {"fingerprint"}, {"first_failed_at", FieldType::time},
    {"first_seen", FieldType::time}, {"size", FieldType::number}, {"wanted"}, {"held_by", FieldType::number}};

int list(const Context& context, const std::string& topic) {
  Output output(context.list, parked_fields());
  const auto config = context.load();
  const auto connection = open_postgres(config, "parked list");
  const auto& schema = config.text("postgres.schema");
  postgres::check_schema(*connection, schema);
  postgres::ParkedAdmin(*connection, schema, context.group(config)).list({.topic = topic}, [&](const auto& parked) { return output.row(to_row(parked)); });
  output.finish();
  return exit_code::clean;
}

}  // namespace

std::span<const Field> parked_fields() { return fields_of_parked; }

Row to_row(const postgres::ParkedListing& p) {
  return {p.id, p.group, p.handler, p.topic, p.partition, p.lane, p.offset, cell_of(p.record_key), cell_of(p.idempotency_key), p.attempt, p.starts,
          cell_of(p.next_at), cell_of(p.cause), cell_of(p.behind), cell_of(p.error), cell_of(p.fingerprint), cell_of(p.first_failed_at),
          p.first_seen, p.size, cell_of(p.wanted), cell_of(p.held_by)};
}

void add_parked(CLI::App& app, Context& context) {
  auto* parked = app.add_subcommand("parked", "Parked records: they failed and are tried again, or wait behind one that did");
  parked->require_subcommand(1);
  auto topic = std::make_shared<std::string>();
  auto* command = parked->add_subcommand("list", "Lists parked records, those that were parked first in front");
  command->add_option("--topic", *topic, "Only this topic");
  add_group_option(*command, context);
  add_list_options(*command, context, parked_fields());
  command->callback([&context, topic] { context.run = [&context, topic] { return list(context, *topic); }; });
  add_parked_changes(*parked, context);
}

}  // namespace deja::cli
