#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

namespace deja::kafka {

struct Partition {
  std::string topic;
  std::int32_t number = 0;
  friend auto operator<=>(const Partition&, const Partition&) = default;
};

using Partitions = std::vector<Partition>;

}  // namespace deja::kafka
