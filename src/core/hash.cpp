#include "core/hash.h"

#include <openssl/evp.h>

#include <algorithm>
#include <stdexcept>

namespace deja::core {

namespace {
// Fetched once: a look-up by name for each sum would cost more than the sum.
const EVP_MD* sha256() {
  static const EVP_MD* const digest = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  if (!digest) throw std::runtime_error("OpenSSL has no SHA-256");
  return digest;
}

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using ContextPointer = std::unique_ptr<EVP_MD_CTX, FreeContext>;

ContextPointer begin() {
  ContextPointer context(EVP_MD_CTX_new());
  if (!context || EVP_DigestInit_ex(context.get(), sha256(), nullptr) != 1) throw std::runtime_error("OpenSSL refuses to hash");
  return context;
}

void update(EVP_MD_CTX* context, const void* bytes, std::size_t size) {
  if (EVP_DigestUpdate(context, bytes, size) != 1) throw std::runtime_error("OpenSSL refuses to hash");
}

void finish_into(EVP_MD_CTX* context, Sha256Bytes& sum) {
  if (EVP_DigestFinal_ex(context, sum.data(), nullptr) != 1) throw std::runtime_error("OpenSSL refuses to hash");
}

// HMAC's two padded keys (RFC 2104), hashed once and copied for every sum.
ContextPointer padded(const std::array<std::uint8_t, 64>& key, std::uint8_t pad) {
  std::array<std::uint8_t, 64> block{};
  std::transform(key.begin(), key.end(), block.begin(), [pad](std::uint8_t b) { return static_cast<std::uint8_t>(b ^ pad); });
  auto context = begin();
  update(context.get(), block.data(), block.size());
  return context;
}
}  // namespace

struct FramedHash::Context {
  ContextPointer now = begin();
  ContextPointer inner, outer;  // of HMAC only
};

FramedHash::FramedHash(std::string_view secret) : context_(std::make_unique<Context>()) {
  if (secret.empty()) return;
  std::array<std::uint8_t, 64> key{};
  if (secret.size() > key.size()) {
    Sha256Bytes sum;
    auto context = begin();
    update(context.get(), secret.data(), secret.size());
    finish_into(context.get(), sum);
    std::copy(sum.begin(), sum.end(), key.begin());
  } else {
    std::copy(secret.begin(), secret.end(), key.begin());
  }
  context_->inner = padded(key, 0x36);
  context_->outer = padded(key, 0x5c);
  EVP_MD_CTX_copy_ex(context_->now.get(), context_->inner.get());
}

FramedHash::~FramedHash() = default;
FramedHash::FramedHash(FramedHash&&) noexcept = default;
FramedHash& FramedHash::operator=(FramedHash&&) noexcept = default;

FramedHash& FramedHash::part(std::string_view bytes) {
  part(static_cast<std::int64_t>(bytes.size()));
  update(context_->now.get(), bytes.data(), bytes.size());
  return *this;
}

FramedHash& FramedHash::maybe(std::optional<std::string_view> bytes) {
  return bytes ? part(*bytes) : part(std::int64_t{-1});
}

FramedHash& FramedHash::part(std::int64_t number) {
  std::array<std::uint8_t, 8> big_endian;
  for (std::size_t i = 0; i < 8; ++i) big_endian[i] = static_cast<std::uint8_t>(static_cast<std::uint64_t>(number) >> (56 - 8 * i));
  update(context_->now.get(), big_endian.data(), big_endian.size());
  return *this;
}

FramedHash& FramedHash::part(const Uuid& uuid) {
  update(context_->now.get(), uuid.bytes.data(), uuid.bytes.size());
  return *this;
}

Sha256Bytes FramedHash::finish() {
  Sha256Bytes sum;
  auto& c = *context_;
  finish_into(c.now.get(), sum);
  if (c.inner) {
    EVP_MD_CTX_copy_ex(c.now.get(), c.outer.get());
    update(c.now.get(), sum.data(), sum.size());
    finish_into(c.now.get(), sum);
    EVP_MD_CTX_copy_ex(c.now.get(), c.inner.get());
  } else {
    EVP_DigestInit_ex(c.now.get(), sha256(), nullptr);
  }
  return sum;
}

Uuid FramedHash::finish_uuid() {
  const auto sum = finish();
  Uuid uuid;
  std::copy_n(sum.begin(), uuid.bytes.size(), uuid.bytes.begin());
  return uuid;
}

std::int64_t FramedHash::finish_int64() {
  const auto sum = finish();
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < 8; ++i) number = number << 8 | sum[i];
  return static_cast<std::int64_t>(number);
}

}  // namespace deja::core
