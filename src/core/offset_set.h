#pragma once

#include <cstdint>
#include <vector>

namespace deja::core {

/// A set of offsets in [from, until), one bit each.
class OffsetSet {
 public:
  OffsetSet() = default;
  OffsetSet(std::int64_t from, std::int64_t until) : from_(from), until_(until < from ? from : until), bits_(static_cast<std::size_t>(until_ - from_ + 63) / 64) {}

  bool covers(std::int64_t offset) const { return offset >= from_ && offset < until_; }
  void add(std::int64_t offset) {
    if (covers(offset)) bits_[index(offset)] |= mask(offset);
  }
  void remove(std::int64_t offset) {
    if (covers(offset)) bits_[index(offset)] &= ~mask(offset);
  }
  bool has(std::int64_t offset) const { return covers(offset) && (bits_[index(offset)] & mask(offset)) != 0; }

 private:
  std::size_t index(std::int64_t offset) const { return static_cast<std::size_t>(offset - from_) / 64; }
  std::uint64_t mask(std::int64_t offset) const { return std::uint64_t{1} << ((offset - from_) % 64); }
  std::int64_t from_ = 0, until_ = 0;
  std::vector<std::uint64_t> bits_;
};

}  // namespace deja::core
