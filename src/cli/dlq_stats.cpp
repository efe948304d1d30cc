#include "cli/dlq.h"
#include "postgres/migrations.h"

// Ten thousand dead letters read as three causes.

namespace deja::cli {
namespace {

constexpr Field stats_fields[] = {{"group"}, {"handler"}, {"topic"}, {"cause"}, {"stage"}, {"fingerprint"}, {"error"}, {"records", FieldType::number}, {"keys", FieldType::number},
                                  {"first_at", FieldType::time}, {"last_at", FieldType::time}, {"last_hour", FieldType::number}, {"hour_before", FieldType::number},
                                  {"last_day", FieldType::number}, {"trend"}, {"replayed_before", FieldType::number}};

// Of the last hour against the one before it.
std::string trend_of(const postgres::DeadLetterStats& s) {
  if (s.last_hour == 0 && s.hour_before == 0) return "quiet";
  if (s.hour_before == 0) return "new";
  if (s.last_hour > s.hour_before) return "rising";
  return s.last_hour < s.hour_before ? "falling" : "steady";
}

int stats(const Context& context, const std::string& status) {
  Output output(context.list, stats_fields);
  const auto config = context.load();
  const auto connection = open_postgres(config, "dlq stats");
  const auto& schema = config.text("postgres.schema");
  postgres::check_schema(*connection, schema);
  for (const auto& s : postgres::Admin(*connection, schema, context.group(config)).dead_letter_stats(status == "all" ? "" : status))
    if (!output.row({s.group, s.handler, s.topic, s.cause, s.stage, s.fingerprint, s.error, s.records, s.keys, s.first_at, s.last_at, s.last_hour, s.hour_before, s.last_day, trend_of(s), s.replayed_before})) break;
  output.finish();
  return exit_code::clean;
}

}  // namespace

void add_dlq_stats(CLI::App& dlq, Context& context) {
  auto status = std::make_shared<std::string>("open");
  auto* command = dlq.add_subcommand("stats", "Counts dead letters by their causes, the most frequent first");
  command->add_option("--status", *status, "Of which status (default: open)")->check(CLI::IsMember({"open", "replaying", "replayed", "discarded", "all"}));
  add_group_option(*command, context);
  add_list_options(*command, context, stats_fields);
  command->callback([&context, status] { context.run = [&context, status] { return stats(context, *status); }; });
}

}  // namespace deja::cli
