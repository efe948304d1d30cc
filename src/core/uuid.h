#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace deja::core {

struct Uuid {
  std::array<std::uint8_t, 16> bytes{};
  friend auto operator<=>(const Uuid&, const Uuid&) = default;
};

/// "8-4-4-4-12" in lower case, as Postgres prints it.
std::string to_text(const Uuid& uuid);
std::optional<Uuid> parse_uuid(std::string_view text);

struct UuidHash {
  std::size_t operator()(const Uuid& uuid) const;
};

}  // namespace deja::core
