#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/uuid.h"

namespace deja::core {

using Sha256Bytes = std::array<std::uint8_t, 32>;

/// SHA-256 (FIPS 180-4), or HMAC-SHA-256 (RFC 2104) when a secret is given, over framed parts: each part goes in with its length
/// before it, so that no two lists of parts give the same input. One object serves many sums; not for two threads at once.
class FramedHash {
 public:
  explicit FramedHash(std::string_view secret = {});
  ~FramedHash();
  FramedHash(FramedHash&&) noexcept;
  FramedHash& operator=(FramedHash&&) noexcept;

  FramedHash& part(std::string_view bytes);
  FramedHash& maybe(std::optional<std::string_view> bytes);  ///< absent differs from empty
  FramedHash& part(std::int64_t number);
  FramedHash& part(const Uuid& uuid);
  /// The sum of the parts since the last finish().
  Sha256Bytes finish();
  Uuid finish_uuid();           ///< the first 16 bytes
  std::int64_t finish_int64();  ///< the first 8 bytes, big endian

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace deja::core
