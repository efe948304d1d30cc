#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "core/status.h"

namespace deja::ops {

/// What the server asks for its answers. All are called on the server's own thread, one at a time, and must not block for long:
/// a probe that waits is a probe that fails. One that throws makes a 500 without details.
struct HttpHandlers {
  std::function<std::string()> metrics;
  core::StatusSource status;
  /// Told of a handler that threw; may be empty. Must not throw.
  std::function<void(std::string_view path, std::string_view what)> failed = {};
};

/// Serves /metrics, /health/live, /health/ready, /status and a plain-text index on /, from construction to destruction, on a
/// thread of its own. GET and HEAD only, no authentication: what it shows has no keys, payloads or secrets, but belongs on a
/// loopback or internal address. Connections are limited in number and time.
class HttpServer {
 public:
  /// `address` as in http.address, but not "off". Throws deja::Stop (78) when it is malformed or cannot be had.
  HttpServer(std::string_view address, HttpHandlers handlers);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// The bound port, also when port 0 was asked for.
  std::uint16_t port() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace deja::ops
