#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace deja {

/// The topics of a handler: "payments", deja::topics("payments", "refunds"), or Topics(a vector of strings).
class Topics {
 public:
  template <std::convertible_to<std::string_view> Text>
  Topics(const Text& one) : names_{std::string(std::string_view(one))} {}  // NOLINT(google-explicit-constructor)
  // same_as, so that {{"a", "b"}} cannot become one string made of two pointers
  template <std::same_as<std::vector<std::string>> Vector>
  explicit Topics(Vector names) : names_(std::move(names)) {}

  const std::vector<std::string>& names() const { return names_; }

 private:
  std::vector<std::string> names_;
};

template <std::convertible_to<std::string_view>... Texts>
Topics topics(const Texts&... names) {
  return Topics(std::vector<std::string>{std::string(std::string_view(names))...});
}

}  // namespace deja
