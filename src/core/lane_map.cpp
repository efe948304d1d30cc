#include "core/lane_map.h"

namespace deja::core {

namespace {
std::uint64_t mixed(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}
}  // namespace

std::optional<std::string> ordering_key(const std::function<std::optional<std::string>(const Record&)>& ordering, const SourceRecord& source) {
  if (ordering) try {
      return ordering(Record(source.view));
    } catch (...) {  // the record becomes a dead letter where its turn comes
    }
  if (source.view.key) return std::string(*source.view.key);
  return std::nullopt;
}

std::uint64_t ordering_hash(std::string_view ordering_key) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : ordering_key) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return mixed(hash);
}

std::optional<std::uint64_t> ordering_hash(const std::function<std::optional<std::string>(const Record&)>& ordering, const SourceRecord& source) {
  if (!ordering) return source.view.key ? std::optional(ordering_hash(*source.view.key)) : std::nullopt;  // without a copy
  const auto key = ordering_key(ordering, source);
  return key ? std::optional(ordering_hash(*key)) : std::nullopt;
}

std::int32_t lane_of(std::optional<std::string_view> ordering_key, std::int64_t offset, std::int32_t lanes) {
  if (lanes <= 1) return 0;
  const auto hash = ordering_key ? ordering_hash(*ordering_key) : mixed(static_cast<std::uint64_t>(offset));
  return static_cast<std::int32_t>(hash % static_cast<std::uint64_t>(lanes));
}

}  // namespace deja::core
