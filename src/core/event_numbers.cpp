#include "core/event_numbers.h"

#include <algorithm>
#include <cstring>

namespace deja::core {

EventNumbers::Seen EventNumbers::see(std::int32_t place, std::int64_t seq, const Uuid& id) {
  std::uint64_t short_id = 0;
  std::memcpy(&short_id, id.bytes.data(), sizeof short_id);
  short_id |= 1;  // 0 means none
  auto& ids = ids_[seq / block];
  if (ids.empty()) ids.resize(block);
  auto& known = ids[static_cast<std::size_t>(seq % block)];
  if (known != 0) return known == short_id ? Seen::repeat : Seen::another_id;
  known = short_id;
  lowest_ = lowest_ == 0 ? seq : std::min(lowest_, seq);
  auto [at, is_new] = places_.try_emplace(place, Range{seq, seq});
  if (is_new) return Seen::first;
  at->second.first = std::min(at->second.first, seq);
  if (seq < at->second.highest) return Seen::out_of_order;
  at->second.highest = seq;
  return Seen::first;
}

bool EventNumbers::has(std::int64_t seq) const {
  const auto ids = ids_.find(seq / block);
  return ids != ids_.end() && ids->second[static_cast<std::size_t>(seq % block)] != 0;
}

void EventNumbers::missing(std::int64_t from, std::int64_t until, const std::function<void(std::int64_t)>& visit) const {
  for (auto seq = from; seq < until; ++seq)
    if (!has(seq)) visit(seq);
}

EventNumbers::Removed EventNumbers::may_be_removed(std::int64_t seq, const std::vector<std::int32_t>& places) const {
  if (places.empty()) return Removed::no;
  // A lane's numbers rise in each place, so what a place lost lies below its first one.
  if (lowest_ == 0 || seq < lowest_) return Removed::yes;
  auto answer = Removed::no;
  for (const auto place : places) {
    const auto found = places_.find(place);
    if (found == places_.end()) answer = Removed::unknown;
    else if (seq < found->second.first) return Removed::yes;
  }
  return answer;
}

}  // namespace deja::core
