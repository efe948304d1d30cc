#include <deja/application.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include <deja/version.h>

#include "application/runtime_impl.h"
#include "application/signals.h"

namespace deja {

struct Application::Impl {
  std::unique_ptr<Signals> signals = std::make_unique<Signals>();  // made before any thread, gone before the runtime
  std::unique_ptr<Runtime> runtime;
  std::string init_sql;
  bool init = false, audit = false;
  AuditOptions audit_options;
};

namespace {
// The last line on stderr names the cause.
int ended(const std::string& name, const Stop& stop) {
  if (stop.exit_code() != exit_code::clean) std::fprintf(stderr, "%s: %s\n", name.c_str(), stop.what());
  return stop.exit_code();
}

[[noreturn]] void leave(int code) {
  std::fflush(nullptr);
  std::exit(code);
}
}  // namespace

Application::Application(std::string name, int argc, char** argv) : impl_(std::make_unique<Impl>()) {
  CLI::App cli{name + ": handles Kafka records with effects exactly once (deja)"};
  cli.allow_extras(false);
  Options options{.name = name};
  bool show_version = false;
  cli.add_option("--config", options.file, "configuration file (TOML); default: $DEJA_CONFIG, then ./deja.toml")->type_name("FILE");
  cli.add_option("--set", options.set, "a setting, stronger than the file; may be repeated")->type_name("KEY=VALUE")->allow_extra_args(false)->take_all();
  cli.add_flag("--init", impl_->init, "create the program's own tables, then end");
  cli.add_flag("--abandon", options.abandon, "start although lanes that no program works any more hold unpublished events; they stay in the database");
  auto* audit = cli.add_flag("--audit", impl_->audit, "re-read the log, prove one disposition for every record and one event for every number, then end");
  auto& wanted = impl_->audit_options;
  cli.add_option("--topic", wanted.topic, "with --audit: only this topic")->type_name("TOPIC")->needs(audit);
  cli.add_option("--from", wanted.from, "with --audit: only records from this offset on")->type_name("OFFSET")->check(CLI::NonNegativeNumber)->needs(audit);
  cli.add_option("--to", wanted.to, "with --audit: only records below this offset")->type_name("OFFSET")->check(CLI::NonNegativeNumber)->needs(audit);
  cli.add_option("--output", wanted.output, "with --audit: table, or json (one object a line)")->check(CLI::IsMember({"table", "json"}))->type_name("table|json")->needs(audit);
  cli.add_flag("--version", show_version, "print the version of deja, then end");
  try {
    cli.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::cout << cli.help();
    leave(exit_code::clean);
  } catch (const CLI::ParseError& e) {
    std::fprintf(stderr, "%s: %s (see --help)\n", name.c_str(), e.what());
    leave(exit_code::usage);
  }
  if (show_version) {
    std::cout << name << " (deja " << version() << ")\n";
    leave(exit_code::clean);
  }
  name_ = std::move(name);
  try {
    impl_->runtime = std::unique_ptr<Runtime>(new Runtime(options, name_));
  } catch (const Stop& stop) {
    leave(ended(name_, stop));
  }
}

Application::~Application() { impl_->signals.reset(); }

Application& Application::init(std::string_view sql) {
  impl_->init_sql += sql;
  impl_->init_sql += "\n";
  return *this;
}

void Application::add(detail::HandlerSpec spec) { impl_->runtime->add(std::move(spec)); }
const Settings& Application::settings() const { return impl_->runtime->settings(); }

int Application::run() {
  auto& runtime = *impl_->runtime;
  try {
    if (impl_->init) {
      if (!impl_->init_sql.empty()) runtime.run_sql(impl_->init_sql);
      return exit_code::clean;
    }
    if (impl_->audit) return runtime.impl_->audit(impl_->audit_options);
    impl_->signals->on_stop([&runtime] { runtime.request_stop(); });
    runtime.start();
    if (!runtime.wait()) runtime.impl_->log().warn("drain.timeout.ms cut the drain short; what was not committed will be read again");
    // Its thread cannot be ended alone; with the process its transaction is rolled back.
    if (runtime.impl_->handler_hangs()) std::_Exit(exit_code::clean);
    return exit_code::clean;
  } catch (const Stop& stop) {
    const bool hangs = runtime.impl_->handler_hangs();
    if (!hangs) {  // all that still logs ends first: the cause is the last line
      impl_->signals.reset();
      impl_->runtime.reset();
    }
    const int code = ended(name_, stop);
    if (hangs) std::_Exit(code);
    return code;
  } catch (const std::exception& e) {
    return ended(name_, Stop(exit_code::defect, std::string("a defect: ") + e.what()));
  }
}

}  // namespace deja
