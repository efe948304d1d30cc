#include "application/build_id.h"

#include <unistd.h>

#include <fstream>
#include <random>
#include <string_view>

#include "core/hash.h"

namespace deja {

std::string executable_build() {
  std::ifstream file("/proc/self/exe", std::ios::binary);
  core::FramedHash hash;
  std::string chunk(1 << 20, '\0');
  while (file.read(chunk.data(), static_cast<std::streamsize>(chunk.size())) || file.gcount() > 0)
    hash.part(std::string_view(chunk).substr(0, static_cast<std::size_t>(file.gcount())));
  const auto id = core::to_text(hash.finish_uuid());
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
