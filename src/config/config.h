#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/expand.h"
#include "config/value.h"
#include "deja/errors.h"

namespace deja::config {

/// What is wrong with the settings, one line for each problem; each names the key, the value, where it stands and what would
/// be right. Ends a program with exit_code(): 78, or 64 for a `--set` that is none.
class ConfigError : public Stop {
 public:
  using Stop::Stop;
};

enum class Origin { by_default, file, environment, set };
std::string_view origin_name(Origin origin);

/// A value and where it came from. `place` is for messages: `deja.toml:12`, `--set`, `$DEJA_KAFKA`, `default`.
struct Setting {
  Value value = {};
  Origin origin = Origin::by_default;
  std::string place = "default";
  /// The text as given, where it carried no type of its own: after `--set`, or a string that used `${NAME}`. Such a text may
  /// stand for a number, a flag or a list.
  std::optional<std::string> untyped = {};
};

using AppValue = Value;

/// One line of `deja config`. Secrets are masked.
struct Entry {
  std::string key;
  std::string value;
  std::string origin;
  std::string type;
  std::string range;
  std::string unit;
  std::string place;
  std::string description;
};

enum class Role { common, consumer, producer };

struct LoadArguments {
  std::string application_name = {};     ///< empty for the `deja` command
  std::optional<std::string> file = {};  ///< an explicit --config
  std::vector<std::string> sets = {};    ///< each `key=value`
  Environment environment = {};          ///< none: an empty environment
};

/// The environment of this process.
std::optional<std::string> process_environment(const std::string& name);

/// All settings of a process, checked. Read-only once loaded, so any thread may read it.
class Config {
 public:
  /// Reads the file (explicit, else $DEJA_CONFIG, else ./deja.toml if it is there), then `--set`, which wins; the environment
  /// stands in where neither says anything. Throws ConfigError with every problem that was found.
  static Config load(const LoadArguments& arguments);

  /// The value of a key of the option table. A key that is not there, or is of another type, is a std::logic_error.
  const std::string& text(std::string_view key) const;
  std::int64_t integer(std::string_view key) const;
  double ratio(std::string_view key) const;
  std::chrono::milliseconds duration(std::string_view key) const;
  bool flag(std::string_view key) const;
  const std::vector<std::string>& list(std::string_view key) const;

  /// `group.id`, or the application's name; empty in the `deja` command when it is not set.
  const std::string& group_id() const;
  /// `dedup.scope`, or the group.
  const std::string& dedup_scope() const;

  /// The value of a string that must not be empty. Throws ConfigError (78) that names the key and its environment variable.
  const std::string& require(std::string_view key) const;

  /// Where the value of any key comes from, for messages; `kafka.*` and `app.*` too.
  std::string place(std::string_view key) const;

  /// Settings for librdkafka, in the order in which to apply them: `kafka.*`, then the role's own, which win.
  std::vector<std::pair<std::string, std::string>> kafka(Role role) const;

  /// The program's own settings, by their names without `app.`. Nothing checks them but the program.
  const std::map<std::string, Setting>& app() const { return app_; }
  /// These throw ConfigError (78) for a value of the wrong type.
  std::string app_text(const std::string& name, const std::string& otherwise) const;
  std::int64_t app_integer(const std::string& name, std::int64_t otherwise) const;
  bool app_flag(const std::string& name, bool otherwise) const;
  std::vector<std::string> app_list(const std::string& name, const std::vector<std::string>& otherwise) const;
  /// Throws ConfigError (78) when a name under `app.` is none of `known` (names without `app.`).
  void refuse_unknown_app_keys(std::span<const std::string_view> known) const;

  /// What `deja config` shows: the option table with the values in force and what was passed through, or the defaults alone.
  std::vector<Entry> entries(bool only_defaults) const;
  static std::vector<Entry> default_entries();

 private:
  friend class Loader;
  Config() = default;

  const Setting& setting(std::string_view key) const;
  template <typename T>
  const T& typed(std::string_view key) const;
  const Setting* app_setting(const std::string& name) const;
  [[noreturn]] void refuse_app(const std::string& name, const Setting& setting, std::string_view right) const;

  std::string application_name_;
  std::map<std::string, Setting, std::less<>> options_;  // every row of the table
  std::map<std::string, Setting, std::less<>> kafka_;    // full keys, values are strings
  std::map<std::string, Setting> app_;
};

}  // namespace deja::config
