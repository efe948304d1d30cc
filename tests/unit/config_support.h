#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "config/config.h"

namespace deja::config::testing {

/// A folder of this test alone, gone with it.
class Folder {
 public:
  Folder() {
    auto name = ::testing::TempDir() + "/deja-config-XXXXXX";
    if (!::mkdtemp(name.data())) throw std::runtime_error("no temporary folder");
    path_ = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }

  std::string path() const { return path_.string(); }
  std::string write(const std::string& name, const std::string& text) const {
    const auto file = path_ / name;
    std::ofstream(file, std::ios::binary) << text;
    return file.string();
  }

 private:
  std::filesystem::path path_;
};

using Variables = std::map<std::string, std::string>;

inline Environment environment_of(Variables variables) {
  return [variables = std::move(variables)](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
}

/// Loads a file with this text.
inline Config load_text(const std::string& text, std::vector<std::string> sets = {}, Variables variables = {},
                        const std::string& application = "payments") {
  const Folder folder;
  return Config::load({.application_name = application,
                       .file = folder.write("deja.toml", text),
                       .sets = std::move(sets),
                       .environment = environment_of(std::move(variables))});
}

inline Config load_sets(std::vector<std::string> sets) { return load_text("", std::move(sets)); }

struct Refused {
  int exit_code = 0;
  std::string message;
};

/// What Config said against it; exit code 0 when it accepted.
template <typename Function>
Refused refused(Function&& function) {
  try {
    function();
  } catch (const ConfigError& error) {
    return {error.exit_code(), error.what()};
  }
  return {};
}

inline Refused refused_text(const std::string& text, std::vector<std::string> sets = {}, Variables variables = {}) {
  return refused([&] { load_text(text, std::move(sets), std::move(variables)); });
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

inline void expect_refused(const Refused& refusal, int exit_code, const std::vector<std::string>& parts) {
  EXPECT_EQ(refusal.exit_code, exit_code) << refusal.message;
  for (const auto& part : parts) EXPECT_TRUE(contains(refusal.message, part)) << "no \"" << part << "\" in:\n" << refusal.message;
}

inline Entry entry_of(const Config& config, const std::string& key) {
  for (auto& entry : config.entries(false)) {
    if (entry.key == key) return entry;
  }
  ADD_FAILURE() << "no entry " << key;
  return {};
}

}  // namespace deja::config::testing
