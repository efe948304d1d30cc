#pragma once

#include <concepts>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace deja {

/// Owned bytes that may be absent (Kafka's null), as event keys, values and header values are.
///
/// Takes a literal, a string, a view or nullopt. Any byte is allowed, NUL too.
class Bytes {
 public:
  Bytes() = default;
  Bytes(std::nullopt_t) {}                                   // NOLINT(google-explicit-constructor)
  template <std::convertible_to<std::string_view> Text>
  Bytes(const Text& text) : bytes_(std::string(std::string_view(text))) {}  // NOLINT(google-explicit-constructor)
  Bytes(std::optional<std::string_view> view) {              // NOLINT(google-explicit-constructor)
    if (view) bytes_.emplace(*view);
  }

  bool has_value() const { return bytes_.has_value(); }
  /// The bytes, or an empty view when absent. Valid as long as this object lives unchanged.
  std::string_view view() const { return bytes_ ? std::string_view(*bytes_) : std::string_view(); }
  std::size_t size() const { return view().size(); }

  friend bool operator==(const Bytes&, const Bytes&) = default;

 private:
  std::optional<std::string> bytes_;
};

}  // namespace deja
