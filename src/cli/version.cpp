#include "cli/context.h"

#include "kafka/admin.h"
#include "postgres/explain.h"
#include "postgres/inspection.h"
#include "postgres/migrations.h"

namespace deja::cli {
namespace {

constexpr Field version_fields[] = {{"version"}, {"schema", FieldType::number}, {"librdkafka"}, {"libpqxx"}, {"server"}};

// The version is told whatever the state of configuration and server.
std::optional<std::string> server(const Context& context) {
  try {
    const auto config = context.load();
    const auto& url = config.text("postgres.url");
    if (url.empty()) return std::nullopt;
    const auto connection = postgres::open_or_stop({.url = url, .what = "version", .read_only = true, .connect_timeout = std::chrono::seconds(2)});
    return postgres::server_version_text(*connection);
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

int show_version(const Context& context) {
  Output output(context.list, version_fields);
  output.row({DEJA_VERSION, std::int64_t{postgres::schema_version()}, kafka::library_version(), postgres::library_version(), cell_of(server(context))});
  output.finish();
  return exit_code::clean;
}

}  // namespace

void add_version(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("version", "Shows the versions of deja, its schema, its libraries and the server");
  add_output_option(*command, context);
  command->callback([&context] { context.run = [&context] { return show_version(context); }; });
}

}  // namespace deja::cli
