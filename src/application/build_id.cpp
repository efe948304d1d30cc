#include "application/build_id.h"

#include <unistd.h>

#include <fstream>
#include <iterator>
#include <random>

#include "core/hash.h"

namespace deja {

std::string executable_build() {
  std::ifstream file("/proc/self/exe", std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const auto id = core::to_text(core::FramedHash().part(bytes).finish_uuid());
  return id.substr(0, 8) + id.substr(9, 4);
}

std::string instance_name() {
  char host[256] = "unknown";
  gethostname(host, sizeof host - 1);
  static constexpr char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
  std::random_device random;
  std::string suffix;
  for (int i = 0; i < 4; ++i) suffix += letters[random() % 32];
  return std::string(host) + ":" + std::to_string(getpid()) + ":" + suffix;
}

}  // namespace deja
