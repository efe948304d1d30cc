#pragma once

#include <algorithm>
#include <cstddef>

namespace deja::core {

/// How many records share a savepoint once something failed: many while all goes well, since each savepoint costs a few round trips and a
/// transaction id; few around a failure, since a group that fails is run again in parts.
class GroupSize {
 public:
  static constexpr std::size_t most = 32;

  std::size_t next() const { return size_; }
  void kept() { size_ = std::min(most, size_ * 2); }
  void failed() { size_ = std::max<std::size_t>(1, size_ / 4); }

 private:
  std::size_t size_ = 16;
};

}  // namespace deja::core
