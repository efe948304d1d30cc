#include "core/strategy_words.h"

#include <utility>
#include <vector>

#include <deja/idempotency.h>

namespace deja::core {

namespace {
using Extract = std::function<std::optional<std::string>(const Record&)>;

Extract single(std::string_view words) {
  constexpr std::string_view header = "header ";
  if (words.starts_with(header)) return [name = std::string(words.substr(header.size()))](const Record& record) { return by_header(name).extract(record); };
  if (words == by_payload().describe()) return [](const Record& record) { return by_payload().extract(record); };
  return {};
}

// At commas that begin another strategy; a header's name may contain one.
std::vector<std::string_view> parts_of(std::string_view list) {
  std::vector<std::string_view> parts;
  std::size_t from = 0;
  for (auto comma = list.find(", "); comma != std::string_view::npos; comma = list.find(", ", comma + 1)) {
    const auto next = list.substr(comma + 2);
    if (!next.starts_with("header ") && !next.starts_with("payload") && !next.starts_with("key function") && !next.starts_with("first of ")) continue;
    parts.push_back(list.substr(from, comma - from));
    from = comma + 2;
  }
  parts.push_back(list.substr(from));
  return parts;
}
}  // namespace

ReadStrategy read_strategy(std::string_view words) {
  if (words.starts_with("offset: ")) return {true, {}};
  constexpr std::string_view first_of = "first of ";
  if (!words.starts_with(first_of)) return {false, single(words)};
  std::vector<Extract> all;
  for (auto part : parts_of(words.substr(first_of.size()))) {
    while (part.starts_with(first_of)) part.remove_prefix(first_of.size());  // nested: the same order
    all.push_back(single(part));
    if (!all.back()) return {};
  }
  return {false, [all = std::move(all)](const Record& record) {
            std::optional<std::string> key;
            for (const auto& extract : all)
              if ((key = extract(record))) break;
            return key;
          }};
}

}  // namespace deja::core
