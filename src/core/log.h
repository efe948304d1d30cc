#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>

// Structured log lines: a sentence that never varies, and fields that do. Never a payload, a key or a secret.

namespace deja::core {

enum class Level { debug, info, warn, error };

struct Field {
  std::string_view name;
  std::variant<std::string, std::int64_t, double, bool> value;
};

class Log {
 public:
  virtual ~Log() = default;
  virtual bool enabled(Level level) const = 0;
  /// Any thread. Never throws, never blocks for long.
  virtual void write(Level level, std::string_view message, std::initializer_list<Field> fields) = 0;

  void debug(std::string_view message, std::initializer_list<Field> fields = {}) { write_if(Level::debug, message, fields); }
  void info(std::string_view message, std::initializer_list<Field> fields = {}) { write_if(Level::info, message, fields); }
  void warn(std::string_view message, std::initializer_list<Field> fields = {}) { write_if(Level::warn, message, fields); }
  void error(std::string_view message, std::initializer_list<Field> fields = {}) { write_if(Level::error, message, fields); }

 private:
  void write_if(Level level, std::string_view message, std::initializer_list<Field> fields) {
    if (enabled(level)) write(level, message, fields);
  }
};

}  // namespace deja::core
