#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <deja/errors.h>
#include <deja/handler.h>
#include <deja/settings.h>
#include <deja/topics.h>

namespace deja {

/// Where a program's configuration comes from. See docs/configuration.md for files, precedence and keys.
struct Options {
  std::string name;                       ///< default of group.id and client.id
  std::optional<std::string> file = {};   ///< else $DEJA_CONFIG, else ./deja.toml when it is there
  std::vector<std::string> set = {};      ///< "key=value", stronger than the file
  bool abandon = false;                   ///< start although lanes that no program works any more hold unpublished events
};

/// The consumer inside a program that has a main of its own. Programs without one use Application.
///
/// Threading: all members from one thread, but request_stop(), which any thread may call (not a signal handler).
/// Ownership: owns its threads, connections and handlers; the destructor stops them, without a drain, and waits for handlers that run.
class Runtime {
 public:
  /// Throws Stop (64, 78) for a configuration that is wrong.
  explicit Runtime(const Options& options);
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  /// Registers a handler. Further arguments are copied into one handler per lane worker. Before start().
  template <class H, class... Args>
  Runtime& handle(const Topics& topics, Args&&... arguments) {
    add(detail::make_spec<H>(topics.names(), std::forward<Args>(arguments)...));
    return *this;
  }
  /// For handlers that cannot be copied: `factory()` returns an H or a std::unique_ptr<H>, once per lane worker.
  template <class H, class Factory>
  Runtime& handle_with(const Topics& topics, Factory factory) {
    add(detail::make_spec_with<H>(topics.names(), std::move(factory)));
    return *this;
  }

  const Settings& settings() const;

  /// Checks configuration, database, schema, grants and topics, then starts. Throws Stop with the named cause.
  void start();
  /// Returns when request_stop() was called and the drain is over. False: drain.timeout.ms cut the drain short (everything not
  /// committed will be read again). Throws Stop when the runtime had to give up.
  bool wait();
  void request_stop();

  /// Runs SQL as the configured role, outside any batch: what `PROGRAM --init` does. Throws Stop.
  void run_sql(std::string_view sql);

 private:
  friend class Application;
  Runtime(const Options& options, const std::string& program);
  void add(detail::HandlerSpec spec);
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace deja
