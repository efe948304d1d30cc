#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/uuid.h"

namespace deja::core {

/// What the rows of keys say of the offsets in [from, until), in 8 bytes each: the sum of the marks of all rows that name an offset. A
/// record whose own mark (or those of its two keys) is that sum has these rows and no others.
class KeyMarks {
 public:
  KeyMarks() = default;
  KeyMarks(std::int64_t from, std::int64_t until) : from_(from), sums_(until > from ? static_cast<std::size_t>(until - from) : 0) {}

  /// Keys are hashes already, so a mark needs little more to be spread well.
  static std::uint64_t mark(const Uuid& key, std::int64_t digest) {
    std::uint64_t high = 0, low = 0;
    std::memcpy(&high, key.bytes.data(), 8);
    std::memcpy(&low, key.bytes.data() + 8, 8);
    std::uint64_t mixed = (static_cast<std::uint64_t>(digest) ^ low) * 0x9E3779B97F4A7C15U;
    return mixed ^ mixed >> 32 ^ high;
  }
  void add(std::int64_t offset, std::uint64_t mark) {
    if (covers(offset)) sums_[static_cast<std::size_t>(offset - from_)] += mark;
  }
  /// How many of these marks the offset's rows are; 0 when its rows are others, or none.
  std::size_t rows(std::int64_t offset, const std::uint64_t* marks, std::size_t count) const {
    if (!covers(offset) || count == 0) return 0;
    const auto sum = sums_[static_cast<std::size_t>(offset - from_)];
    if (count == 2 && sum == marks[0] + marks[1]) return 2;
    return sum == marks[0] || (count == 2 && sum == marks[1]) ? 1 : 0;
  }

 private:
  bool covers(std::int64_t offset) const { return offset >= from_ && offset - from_ < static_cast<std::int64_t>(sums_.size()); }
  std::int64_t from_ = 0;
  std::vector<std::uint64_t> sums_;
};

}  // namespace deja::core
