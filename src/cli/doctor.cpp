#include "cli/doctor.h"

#include "cli/context.h"
#include "postgres/inspection.h"
#include "postgres/migrations.h"

namespace deja::cli {
namespace {

constexpr Field doctor_fields[] = {{"check"}, {"status"}, {"detail"}, {"remedy"}};

std::optional<config::Config> check_config(const Context& context, Findings& findings) {
  try {
    auto config = context.load();
    findings.ok("configuration", "valid");
    return config;
  } catch (const config::ConfigError& error) {
    if (error.exit_code() == exit_code::usage) throw;  // the command line, not the configuration
    findings.fail("configuration", error.what(), "correct the settings it names; `deja config --defaults` shows all of them");
    return std::nullopt;
  }
}

int run(const Context& context) {
  Findings findings;
  if (const auto config = check_config(context, findings)) {
    const auto group = context.group(*config);
    const auto facts = check_postgres(*config, group, findings);
    check_kafka(*config, group, facts, findings);
  }
  auto form = context.list;
  form.column_width = 400;  // what is wrong must be readable to its end
  Output output(form, doctor_fields);
  for (const auto& f : findings.all()) {
    if (!output.row({f.check, std::string(word(f.status)), f.detail, f.remedy.empty() ? Cell() : Cell(f.remedy)})) break;
  }
  output.finish();
  if (!findings.failed()) return exit_code::clean;
  throw Stop(exit_code::finding, "doctor found what must be mended: " + findings.names_of_failed());
}

}  // namespace

void add_doctor(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("doctor", "Checks configuration, database, grants, topics and offsets; exit 1 when something must be mended");
  add_group_option(*command, context);
  add_list_options(*command, context, doctor_fields);
  command->callback([&context] { context.run = [&context] { return run(context); }; });
}

}  // namespace deja::cli
