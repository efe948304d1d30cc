#include <deja/idempotency.h>
#include <deja/record.h>

#include <algorithm>
#include <cstdint>
#include <string>

namespace deja {

namespace {

// Length and presence go first, so that no two different pairs of key and value give the same bytes.
void append_with_length(std::string& out, std::optional<std::string_view> part) {
  out += part ? '\x01' : '\x00';
  const auto length = static_cast<std::uint64_t>(part.value_or(std::string_view()).size());
  for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>(length >> shift & 0xff);
  out += part.value_or(std::string_view());
}

std::optional<std::string_view> present(bool there, std::string_view bytes) { return there ? std::optional(bytes) : std::nullopt; }

}  // namespace

std::optional<std::string_view> Record::header(std::string_view name) const {
  const auto all = headers();
  const auto last = std::find_if(all.rbegin(), all.rend(), [name](const Header& header) { return header.name == name; });
  if (last == all.rend()) return std::nullopt;
  return last->value.value_or(std::string_view());
}

std::optional<std::string> ByHeader::extract(const Record& record) const {
  const auto value = record.header(header);
  if (!value || value->empty()) return std::nullopt;
  return std::string(*value);
}

std::optional<std::string> ByPayload::extract(const Record& record) const {
  std::string key;
  key.reserve(18 + record.key().size() + record.value().size());
  append_with_length(key, present(record.has_key(), record.key()));
  append_with_length(key, present(record.has_value(), record.value()));
  return key;
}

}  // namespace deja
