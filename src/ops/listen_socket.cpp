#include "ops/listen_socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include <deja/errors.h>

namespace deja::ops {
namespace {

constexpr int backlog = 64;

[[noreturn]] void refuse(std::string_view address, const std::string& cause, const std::string& remedy) {
  throw Stop(exit_code::configuration, "http.address = \"" + std::string(address) + "\": " + cause + "; " + remedy);
}

[[noreturn]] void refuse_malformed(std::string_view address, const std::string& cause) {
  refuse(address, cause, "write host:port such as 127.0.0.1:9464, 0.0.0.0:9464 or [::1]:9464 (port 0 picks a free one), or off");
}

struct Address {
  std::string host;
  std::string port;
};

Address parse(std::string_view address) {
  const auto colon = address.rfind(':');
  if (colon == std::string_view::npos) refuse_malformed(address, "the port is missing");
  std::string_view host = address.substr(0, colon);
  const std::string_view port = address.substr(colon + 1);

  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
    if (host.find(':') == std::string_view::npos) refuse_malformed(address, "only an IPv6 address stands in brackets");
  } else if (host.find_first_of(":[]") != std::string_view::npos) {
    refuse_malformed(address, "an IPv6 address has to stand in brackets");
  }
  if (host.empty()) refuse_malformed(address, "the host is missing");
  if (host.find('\0') != std::string_view::npos) refuse_malformed(address, "the host is no name");

  std::uint16_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (port.empty() || error != std::errc{} || end != port.data() + port.size()) {
    refuse_malformed(address, "the port is no number from 0 to 65535");
  }
  return {std::string(host), std::to_string(number)};
}

struct FreeAddresses {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};

std::uint16_t bound_port(int descriptor) {
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  if (getsockname(descriptor, reinterpret_cast<sockaddr*>(&bound), &size) != 0) return 0;
  return ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(bound).sin6_port
                                           : reinterpret_cast<const sockaddr_in&>(bound).sin_port);
}

// Nothing, and errno, when it cannot be had.
std::optional<ListenSocket> try_listen(const addrinfo& candidate) {
  const int listener = socket(candidate.ai_family, candidate.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, candidate.ai_protocol);
  if (listener < 0) return std::nullopt;
  // A restart must not wait for old connections to time out; a live listener still keeps the port to itself.
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, candidate.ai_addr, candidate.ai_addrlen) != 0 || listen(listener, backlog) != 0) {
    const int cause = errno;
    close(listener);
    errno = cause;
    return std::nullopt;
  }
  return ListenSocket{listener, bound_port(listener)};
}

[[noreturn]] void refuse_bind(std::string_view address, int error) {
  switch (error) {
    case EADDRINUSE:
      refuse(address, "the port is taken", "stop the program that has it, or choose another port (0 picks a free one) or off");
    case EACCES: refuse(address, "this user may not listen on the port", "choose a port from 1024 on");
    case EADDRNOTAVAIL: refuse(address, "this machine has no such address", "use one of its own, 0.0.0.0 for all, or 127.0.0.1");
    default: refuse(address, std::system_category().message(error), "choose another address, or off");
  }
}

}  // namespace

ListenSocket listen_on(std::string_view address) {
  const Address parsed = parse(address);

  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int looked_up = getaddrinfo(parsed.host.c_str(), parsed.port.c_str(), &hints, &list);
  if (looked_up != 0) {
    refuse(address, "the host cannot be resolved (" + std::string(gai_strerror(looked_up)) + ")",
           "use an IP address of this machine or a name it knows");
  }
  const std::unique_ptr<addrinfo, FreeAddresses> owner(list);

  std::vector<const addrinfo*> candidates;
  for (const addrinfo* each = list; each != nullptr; each = each->ai_next) candidates.push_back(each);
  std::stable_partition(candidates.begin(), candidates.end(), [](const addrinfo* each) { return each->ai_family == AF_INET; });

  int error = EADDRNOTAVAIL;
  for (const addrinfo* candidate : candidates) {
    if (const auto listener = try_listen(*candidate)) return *listener;
    error = errno;
    // Moving on to ::1 because 127.0.0.1 is taken would hide two programs behind one name.
    if (error == EADDRINUSE) break;
  }
  refuse_bind(address, error);
}

}  // namespace deja::ops
