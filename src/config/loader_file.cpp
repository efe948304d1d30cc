#include <filesystem>
#include <fstream>

#include "config/loader.h"

namespace deja::config {
namespace {

constexpr std::size_t largest_file = 1'048'576;

/// The text, or nothing. Reads a pipe as well as a file, one byte above the limit at most.
std::optional<std::string> read_text(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) return std::nullopt;
  std::string text(largest_file + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (stream.bad()) return std::nullopt;
  text.resize(static_cast<std::size_t>(stream.gcount()));
  return text;
}

}  // namespace

Config Config::load(const LoadArguments& arguments) { return Loader(arguments).run(); }

void Loader::refuse_malformed_sets() const {
  std::string problems;
  for (const auto& text : arguments_.sets) {
    const auto key = text.substr(0, text.find('='));
    if (key.size() < text.size() && key.find_first_not_of(" \t\r\n") != std::string::npos) continue;
    // What is no `key=value` may be a secret on its own, so only its beginning is repeated.
    problems += (problems.empty() ? "" : "\n") + std::string("--set \"") + text.substr(0, 20) +
                (text.size() > 20 ? "...\"" : "\"") + " is not of the form key=value";
  }
  if (!problems.empty()) throw ConfigError(exit_code::usage, problems);
}

std::optional<std::string> Loader::file_path() const {
  if (arguments_.file) return arguments_.file;
  if (auto named = variable("DEJA_CONFIG")) return named;
  std::error_code ignored;
  if (std::filesystem::exists("deja.toml", ignored)) return "deja.toml";
  return std::nullopt;
}

void Loader::take_file() {
  const auto path = file_path();
  if (!path) return;
  std::error_code ignored;
  const bool directory = std::filesystem::is_directory(*path, ignored);
  const auto text = directory ? std::nullopt : read_text(*path);
  if (!text) {
    const bool there = std::filesystem::exists(*path, ignored);
    const std::string_view named_by = arguments_.file ? "--config" : variable("DEJA_CONFIG") ? "$DEJA_CONFIG" : "default";
    problem(*path, "the configuration file (" + std::string(named_by) + ") " +
                       (directory ? "is a folder" : there ? "cannot be read" : "does not exist") +
                       "; it takes the path of a readable TOML file");
    return;
  }
  auto read = read_toml(*text);
  if (const auto* fault = std::get_if<TomlFault>(&read)) {
    const auto line = fault->line > 0 ? ":" + std::to_string(fault->line) : std::string();
    problem(*path + line, "the file is not TOML that can be read: " + fault->description);
    return;
  }
  for (auto& leaf : std::get<std::vector<TomlLeaf>>(read)) take_leaf(*path, std::move(leaf));
}

}  // namespace deja::config
