#include "cli/context.h"

#include "config/reference.h"

namespace deja::cli {
namespace {

constexpr Field config_fields[] = {{"key"}, {"value"}, {"origin"}, {"type"}, {"range"}};

int show_config(const Context& context, bool defaults) {
  if (context.list.format == Format::markdown) {
    if (!defaults) throw Stop(exit_code::usage, "--output markdown goes with --defaults alone");
    print(config::configuration_reference());
    flush();
    return exit_code::clean;
  }
  Output output(context.list, config_fields);
  for (auto& entry : defaults ? config::Config::default_entries() : context.load().entries(false)) {
    if (!output.row({entry.key, entry.value, entry.origin, entry.type, entry.range})) break;
  }
  output.finish();
  return exit_code::clean;
}

}  // namespace

void add_config(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("config", "Shows the settings in force, where each comes from, and what it may be");
  auto defaults = std::make_shared<bool>(false);
  command->add_flag("--defaults", *defaults, "The defaults alone; with --output markdown the page of the manual");
  add_list_options(*command, context, config_fields);
  command->remove_option(command->get_option("--output"));
  add_output_option(*command, context, {"table", "json", "markdown"});
  command->callback([&context, defaults] { context.run = [&context, defaults] { return show_config(context, *defaults); }; });
}

}  // namespace deja::cli
