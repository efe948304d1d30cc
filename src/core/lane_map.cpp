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

std::int32_t lane_of(std::optional<std::string_view> ordering_key, std::int64_t offset, std::int32_t lanes) {
  if (lanes <= 1) return 0;
  auto hash = static_cast<std::uint64_t>(offset);
  if (ordering_key) {
    hash = 0xcbf29ce484222325U;
    for (const char c : *ordering_key) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  }
  return static_cast<std::int32_t>(mixed(hash) % static_cast<std::uint64_t>(lanes));
}

}  // namespace deja::core
