#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <deja/runtime.h>

namespace deja {

/// A whole program: flags, config file, signals, drain, metrics over HTTP, exit codes.
///
///     int main(int argc, char** argv) {
///       deja::Application app("payments", argc, argv);
///       app.init(ledger_sql).handle<SettlePayment>("payments");
///       return app.run();
///     }
///
/// Flags: --config FILE, --set key=value, --init, --audit, --version, --help. SIGTERM and SIGINT drain; a second one exits at once.
/// Threading: the main thread, before it starts any other (signals are blocked here and inherited).
class Application {
 public:
  /// `name` is the default of group.id and client.id. Ends the process with 64 or 78 when flags or configuration are wrong.
  Application(std::string name, int argc, char** argv);
  ~Application();
  Application(const Application&) = delete;
  Application& operator=(const Application&) = delete;

  /// SQL that makes the program's own tables, run by --init alone. Write it repeatable ("create table if not exists ...").
  Application& init(std::string_view sql);

  /// See Runtime::handle.
  template <class H, class... Args>
  Application& handle(const Topics& topics, Args&&... arguments) {
    add(detail::make_spec<H>(topics.names(), std::forward<Args>(arguments)...));
    return *this;
  }
  template <class H, class Factory>
  Application& handle_with(const Topics& topics, Factory factory) {
    add(detail::make_spec_with<H>(topics.names(), std::move(factory)));
    return *this;
  }

  /// The program's own settings, app.*.
  const Settings& settings() const;

  /// Runs until SIGTERM or SIGINT. Returns the exit code; the last line on stderr names the cause when it is not 0.
  int run();

 private:
  void add(detail::HandlerSpec spec);
  struct Impl;
  std::unique_ptr<Impl> impl_;
  std::string name_;
};

}  // namespace deja
