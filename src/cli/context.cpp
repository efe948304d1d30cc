#include "cli/context.h"

#include <iostream>

#include "postgres/explain.h"
#include "postgres/migrations.h"
#include "postgres/rights.h"

namespace deja::cli {

using std::chrono::milliseconds;

config::Config Context::load() const {
  return config::Config::load({.file = config_file, .sets = sets, .environment = config::process_environment});
}

std::string Context::group(const config::Config& config) const { return group_option.value_or(config.group_id()); }

namespace {
void add_config_options(CLI::App& command, Context& context) {
  command.add_option_function<std::string>("--config", [&context](const std::string& file) { context.config_file = file; },
                                           "Configuration file (default: $DEJA_CONFIG, then ./deja.toml if it is there)")
      ->type_name("FILE");
  command
      .add_option_function<std::vector<std::string>>(
          "--set", [&context](const std::vector<std::string>& given) { context.sets.insert(context.sets.end(), given.begin(), given.end()); },
          "A setting, stronger than the file's; any number of times")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false)
      ->take_all();
}

void add_limit_options(CLI::App& command, Context& context) {
  command.add_option_function<std::int64_t>("--limit", [&context](const std::int64_t& n) { context.list.limit = n; },
                                            "Most rows to show (default: 100 in a table, no limit for json)")
      ->check([](const std::string& n) { return n.find_first_not_of("0123456789") == std::string::npos ? "" : n + " is no whole number from 0 on"; })
      ->type_name("N");
  command.add_flag("--count", context.list.count, "Show only how many rows there are");
}
}  // namespace

void add_output_option(CLI::App& command, Context& context, const std::vector<std::string>& formats) {
  command
      .add_option_function<std::string>(
          "--output",
          [&context](const std::string& format) {
            context.list.format = format == "json" ? Format::json : format == "markdown" ? Format::markdown : Format::table;
          },
          "Form of the output; json is one object a line")
      ->check(CLI::IsMember(formats))
      ->type_name(CLI::detail::join(formats, "|"));
}

void add_list_options(CLI::App& command, Context& context, std::span<const Field> fields) {
  add_output_option(command, context);
  add_limit_options(command, context);
  command.add_option("--filter", context.list.filter, "Show only rows that fit: = != < <= > >= ~ (contains), and, or, parentheses")->type_name("EXPR");
  std::string names;
  for (const auto& field : fields) names += (names.empty() ? "" : ", ") + std::string(field.name);
  command.footer("Fields: " + names);
}

void add_group_option(CLI::App& command, Context& context) {
  command.add_option_function<std::string>("--group", [&context](const std::string& group) { context.group_option = group; },
                                           "Consumer group (default: the configuration's, else all)")
      ->type_name("GROUP");
}

void add_common_options(CLI::App& command, Context& context) {
  const auto lacks = [&](const char* name) { return command.get_option_no_throw(name) == nullptr; };
  add_config_options(command, context);
  if (lacks("--group")) add_group_option(command, context);
  if (lacks("--output")) add_output_option(command, context);
  if (lacks("--limit")) add_limit_options(command, context);
}

std::unique_ptr<postgres::Connection> open_postgres(const config::Config& config, const std::string& what, bool read_only) {
  return postgres::open_or_stop({.url = config.require("postgres.url"), .what = what, .read_only = read_only});
}

std::unique_ptr<postgres::Connection> open_for_change(const config::Config& config, const std::string& what) {
  auto connection = open_postgres(config, what, false);
  const auto& schema = config.text("postgres.schema");
  postgres::check_schema(*connection, schema);
  postgres::require(*connection, schema, postgres::Duty::change, what);
  return connection;
}

std::unique_ptr<kafka::Admin> open_kafka(const config::Config& config, const std::string& group) {
  config.require("kafka.bootstrap.servers");
  return std::make_unique<kafka::Admin>(config.kafka(config::Role::common), group, milliseconds(5'000));
}

void warn(const std::string& text) { std::cerr << "deja: warning: " << text << "\n"; }

}  // namespace deja::cli
