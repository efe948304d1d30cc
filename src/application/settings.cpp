#include <deja/settings.h>

#include <cstdio>
#include <cstdlib>

#include <deja/errors.h>

#include "config/config.h"

namespace deja {

Settings::Settings(std::shared_ptr<const config::Config> config, std::string program)
    : config_(std::move(config)), program_(std::move(program)) {}

template <class Get>
auto Settings::checked(Get&& get) const {
  if (program_.empty()) return get();
  try {
    return get();
  } catch (const Stop& stop) {
    std::fprintf(stderr, "%s: %s\n", program_.c_str(), stop.what());
    std::fflush(nullptr);
    std::exit(stop.exit_code());
  }
}

std::string Settings::text(std::string_view key, std::string_view fallback) const {
  return checked([&] { return config_->app_text(std::string(key), std::string(fallback)); });
}
std::int64_t Settings::integer(std::string_view key, std::int64_t fallback) const {
  return checked([&] { return config_->app_integer(std::string(key), fallback); });
}
bool Settings::flag(std::string_view key, bool fallback) const {
  return checked([&] { return config_->app_flag(std::string(key), fallback); });
}
std::vector<std::string> Settings::list(std::string_view key, const std::vector<std::string>& fallback) const {
  return checked([&] { return config_->app_list(std::string(key), fallback); });
}
void Settings::allow_only(const std::vector<std::string>& keys) const {
  const std::vector<std::string_view> views(keys.begin(), keys.end());
  checked([&] { config_->refuse_unknown_app_keys(views); });
}

}  // namespace deja
