#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "config/toml_source.h"

namespace deja::config {

struct Option;

/// Builds one Config: takes the sources from the weakest to the strongest, and keeps every problem until the end.
class Loader {
 public:
  explicit Loader(const LoadArguments& arguments);
  Config run();

 private:
  /// One setting on its way in. `untyped` is the text of a --set.
  struct Given {
    std::string key;
    std::optional<Value> value;
    std::string odd;
    std::optional<std::string> untyped;
    Origin origin;
    std::string place;
  };

  void refuse_malformed_sets() const;
  void take_defaults();
  void take_environment();
  void take_file();
  void take_leaf(const std::string& path, TomlLeaf leaf);
  void take_sets();
  void take(Given given);
  void take_option(const Option& option, Given given);
  void take_kafka(Given given);
  void take_app(Given given);
  bool expand_strings(Given& given);
  void refuse_unknown(const Given& given);
  void check_not_below(std::string_view key, std::string_view floor);
  void problem(const std::string& place, const std::string& text);
  std::optional<std::string> variable(const std::string& name) const;
  std::optional<std::string> file_path() const;

  const LoadArguments& arguments_;
  Config config_;
  std::set<std::string> seen_in_file_;
  std::vector<std::string> problems_;
  std::size_t unlisted_problems_ = 0;
};

}  // namespace deja::config
