#include "core/hash.h"

#include <gtest/gtest.h>
#include <openssl/hmac.h>
#include <rapidcheck/gtest.h>

#include "core/base64.h"
#include "core/uuid.h"

namespace deja::core {
namespace {

// The framing written out by hand, for the reference implementations of OpenSSL.
std::string framed(std::string_view part) {
  std::string bytes(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>(part.size() >> (56 - 8 * i));
  return bytes + std::string(part);
}

std::string text(const Sha256Bytes& sum) { return {reinterpret_cast<const char*>(sum.data()), sum.size()}; }

RC_GTEST_PROP(FramedHash, IsSha256OfTheFramedParts, (const std::string& a, const std::string& b)) {
  std::string expected(32, '\0');
  const auto input = framed(a) + framed(b);
  EVP_Digest(input.data(), input.size(), reinterpret_cast<unsigned char*>(expected.data()), nullptr, EVP_sha256(), nullptr);
  FramedHash hash;
  RC_ASSERT(text(hash.part(a).part(b).finish()) == expected);
  RC_ASSERT(text(hash.part(a).part(b).finish()) == expected);  // usable again
}

RC_GTEST_PROP(FramedHash, WithASecretIsHmacSha256, (const std::string& secret, const std::string& a)) {
  RC_PRE(!secret.empty());
  std::string expected(32, '\0');
  const auto input = framed(a);
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()), reinterpret_cast<const unsigned char*>(input.data()), input.size(),
       reinterpret_cast<unsigned char*>(expected.data()), nullptr);
  FramedHash hash(secret);
  RC_ASSERT(text(hash.part(a).finish()) == expected);
  RC_ASSERT(text(hash.part(a).finish()) == expected);
}

TEST(FramedHash, TakesASecretLongerThanABlock) {
  const std::string secret(200, 'x');
  std::string expected(32, '\0');
  const auto input = framed("a");
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()), reinterpret_cast<const unsigned char*>(input.data()), input.size(),
       reinterpret_cast<unsigned char*>(expected.data()), nullptr);
  EXPECT_EQ(text(FramedHash(secret).part("a").finish()), expected);
}

RC_GTEST_PROP(Uuid, TextReadsBackTheSame, (const std::string& seed)) {
  const auto uuid = FramedHash().part(seed).finish_uuid();
  RC_ASSERT(parse_uuid(to_text(uuid)) == uuid);
}

TEST(Uuid, RefusesWhatIsNone) {
  for (const auto* bad : {"", "0123", "01234567-89ab-cdef-0123-456789abcdeg", "0123456789abcdef0123456789abcdef0123", "01234567-89ab-cdef-0123-456789abcde-"})
    EXPECT_FALSE(parse_uuid(bad)) << bad;
}

RC_GTEST_PROP(Base64, ReadsBackTheSameForAnyBytes, (const std::string& bytes)) { RC_ASSERT(unbase64(base64(bytes)) == bytes); }

TEST(Base64, RefusesWhatIsNone) {
  for (const auto* bad : {"a", "ab=c", "!!!!", "====", "ab c"}) EXPECT_THROW(unbase64(bad), std::invalid_argument) << bad;
}

}  // namespace
}  // namespace deja::core
