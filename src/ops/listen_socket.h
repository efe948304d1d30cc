#pragma once

#include <cstdint>
#include <string_view>

namespace deja::ops {

struct ListenSocket {
  int descriptor;
  std::uint16_t port;  // the one that was picked when 0 was asked for
};

/// Listens on "host:port": IPv4, IPv6 in brackets, or a name (whose IPv4 address is preferred). The caller closes the descriptor.
/// Throws deja::Stop (78), naming http.address, the value and what to do, for an address that is malformed, unknown or taken.
ListenSocket listen_on(std::string_view address);

}  // namespace deja::ops
