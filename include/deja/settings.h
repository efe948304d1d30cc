#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace deja {

namespace config {
class Config;
}

/// A program's own settings, `app.*` of the configuration. Each getter returns the fallback when the key is not set and throws
/// deja::Stop (78), naming key, value and expected type, when it has another type; those of an Application end the process with it
/// instead, so that main needs no try. `key` is given without "app.".
class Settings {
 public:
  /// `program`: the name before the message when an error ends the process; empty: errors are thrown.
  explicit Settings(std::shared_ptr<const config::Config> config, std::string program = {});

  std::string text(std::string_view key, std::string_view fallback) const;
  std::int64_t integer(std::string_view key, std::int64_t fallback) const;
  bool flag(std::string_view key, bool fallback) const;
  std::vector<std::string> list(std::string_view key, const std::vector<std::string>& fallback) const;
  /// Throws deja::Stop (78) when the configuration has an `app.*` key that is not in the list.
  void allow_only(const std::vector<std::string>& keys) const;

 private:
  template <class Get>
  auto checked(Get&& get) const;
  std::shared_ptr<const config::Config> config_;
  std::string program_;
};

}  // namespace deja
