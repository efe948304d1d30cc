#pragma once

#include <chrono>
#include <cstdint>

namespace deja::runtime {

/// Milliseconds of the Unix epoch, for people: nothing is decided by it.
inline std::int64_t now_of_day() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace deja::runtime
