#include <csignal>
#include <cstdio>
#include <iostream>

#include <CLI/CLI.hpp>

#include <deja/errors.h>

#include "cli/context.h"

namespace deja::cli {
namespace {

// Whatever follows `--` belongs to the command that `dev` is to run.
std::vector<char*> without_what_follows_dashes(int argc, char** argv, Context& context) {
  std::vector<char*> arguments(argv, argv + argc);
  if (argc < 2 || std::string_view(argv[1]) != "dev") return arguments;
  for (std::size_t i = 2; i < arguments.size(); ++i) {
    if (std::string_view(arguments[i]) != "--") continue;
    context.after_dashes.assign(arguments.begin() + static_cast<std::ptrdiff_t>(i) + 1, arguments.end());
    arguments.resize(i);
  }
  return arguments;
}

int fail(int code, const std::string& cause) {
  std::fflush(stdout);
  std::cerr << "deja: " << cause << std::endl;
  return code;
}

// The common options are taken before and after the command's name.
void add_everywhere(CLI::App& app, Context& context) {
  add_common_options(app, context);
  for (auto* command : app.get_subcommands([](CLI::App*) { return true; })) add_everywhere(*command, context);
}

void add_commands(CLI::App& app, Context& context) {
  add_migrate(app, context);
  add_doctor(app, context);
  add_config(app, context);
  add_handlers(app, context);
  add_lanes(app, context);
  add_key(app, context);
  add_outbox(app, context);
  add_parked(app, context);
  add_dlq(app, context);
  add_breakers(app, context);
  add_flood(app, context);
  add_audit_log(app, context);
  add_audit(app, context);
  add_send(app, context);
  add_dev(app, context);
  add_version(app, context);
  add_everywhere(app, context);
}

// CLI11 calls a command that it does not know a missing one.
std::string problem(const CLI::App& app, const CLI::ParseError& error, const std::vector<char*>& arguments) {
  if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr && arguments.size() > 1 && arguments[1][0] != '-' &&
      app.get_subcommands([&](const CLI::App* command) { return command->get_name() == arguments[1]; }).empty()) {
    return std::string("there is no command \"") + arguments[1] + "\"";
  }
  return error.what();
}

int run(int argc, char** argv) {
  Context context;
  auto arguments = without_what_follows_dashes(argc, argv, context);
  CLI::App app("deja: exactly-once effects for Kafka consumers. The operators' command.", "deja");
  app.require_subcommand(1);
  app.set_version_flag("--version", "deja " DEJA_VERSION);
  add_commands(app, context);
  try {
    app.parse(static_cast<int>(arguments.size()), arguments.data());
  } catch (const CLI::Success& wanted) {  // --help, --version
    return app.exit(wanted);
  } catch (const CLI::ParseError& error) {
    return fail(exit_code::usage, problem(app, error, arguments) + " (deja --help)");
  }
  return context.run();
}

}  // namespace
}  // namespace deja::cli

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a reader that has gone is told by the write
  using namespace deja;
  try {
    return cli::run(argc, argv);
  } catch (const cli::ReaderGone&) {
    return exit_code::clean;
  } catch (const Stop& stop) {
    return cli::fail(stop.exit_code(), stop.what());
  } catch (const std::exception& error) {
    return cli::fail(exit_code::defect, std::string("a defect: ") + error.what());
  }
}
