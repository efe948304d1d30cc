#include "ops/http_server.h"

#include <microhttpd.h>
#include <pthread.h>

#include <csignal>
#include <exception>
#include <utility>

#include <deja/errors.h>

#include "ops/listen_socket.h"
#include "ops/status_json.h"

namespace deja::ops {
namespace {

constexpr unsigned max_connections = 64;
constexpr unsigned max_connections_per_client = 32;
constexpr unsigned idle_seconds = 10;
constexpr std::size_t memory_per_connection = 32'768;

constexpr auto plain_text = "text/plain; charset=utf-8";
constexpr auto prometheus_text = "text/plain; version=0.0.4; charset=utf-8";
constexpr auto json_text = "application/json";

constexpr std::string_view index =
    "/metrics       Prometheus metrics\n"
    "/health/live   200 while the process works, else 503\n"
    "/health/ready  200 while it can process records, else 503 with the causes\n"
    "/status        lanes, dependencies, pauses and recent duplicates as JSON\n";

struct Reply {
  unsigned status;
  const char* content_type;
  std::string body;
};

unsigned health(bool good) { return good ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE; }

Reply answer(const HttpHandlers& handlers, std::string_view path) {
  if (path == "/metrics") return {MHD_HTTP_OK, prometheus_text, handlers.metrics()};
  if (path == "/status") return {MHD_HTTP_OK, json_text, status_json(handlers.status())};
  if (path == "/health/live") {
    const auto status = handlers.status();
    return {health(status.live), json_text, liveness_json(status)};
  }
  if (path == "/health/ready") {
    const auto status = handlers.status();
    return {health(status.not_ready.empty()), json_text, readiness_json(status)};
  }
  if (path == "/") return {MHD_HTTP_OK, plain_text, std::string(index)};
  return {MHD_HTTP_NOT_FOUND, plain_text, "not found; there are:\n" + std::string(index)};
}

Reply answer_or_500(const HttpHandlers& handlers, std::string_view path) {
  const auto report = [&](std::string_view what) {
    if (handlers.failed) handlers.failed(path, what);
  };
  try {
    return answer(handlers, path);
  } catch (const std::exception& error) {
    report(error.what());
  } catch (...) {
    report("an exception of an unknown type");
  }
  return {MHD_HTTP_INTERNAL_SERVER_ERROR, plain_text, "internal error\n"};
}

MHD_Result send(MHD_Connection* connection, const Reply& reply) {
  // MUST_COPY never writes to the buffer; the parameter is not const for the other modes' sake.
  MHD_Response* response =
      MHD_create_response_from_buffer(reply.body.size(), const_cast<char*>(reply.body.data()), MHD_RESPMEM_MUST_COPY);
  if (response == nullptr) return MHD_NO;
  MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, reply.content_type);
  MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
  MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
  if (reply.status == MHD_HTTP_METHOD_NOT_ALLOWED) MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
  const MHD_Result queued = MHD_queue_response(connection, reply.status, response);
  MHD_destroy_response(response);
  return queued;
}

// libmicrohttpd calls twice: once for the headers, then for the request. An answer to the first call closes the connection, which
// suits a method that may carry a body nobody wants to read.
MHD_Result on_request(void* context, MHD_Connection* connection, const char* path, const char* method, const char*, const char*,
                      std::size_t* body_bytes, void** request) {
  static char seen_headers;
  try {
    const std::string_view verb = method;
    if (verb != MHD_HTTP_METHOD_GET && verb != MHD_HTTP_METHOD_HEAD) {
      return send(connection, {MHD_HTTP_METHOD_NOT_ALLOWED, plain_text, "GET and HEAD only\n"});
    }
    if (*request == nullptr) {
      *request = &seen_headers;
      return MHD_YES;
    }
    if (*body_bytes != 0) return MHD_NO;
    return send(connection, answer_or_500(*static_cast<const HttpHandlers*>(context), path));
  } catch (...) {
    // Out of memory at most; nothing may cross into the C library, which closes the connection.
    return MHD_NO;
  }
}

// Threads inherit the mask: signals that end the program belong to its own threads, not to the server's.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP}) sigdelset(&all, fault);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace

class HttpServer::Impl {
 public:
  Impl(std::string_view address, HttpHandlers handlers) : handlers_(std::move(handlers)) {
    const ListenSocket listener = listen_on(address);
    port_ = listener.port;
    const SignalsBlocked blocked;
    daemon_ = MHD_start_daemon(MHD_USE_AUTO_INTERNAL_THREAD, 0, nullptr, nullptr, on_request, &handlers_,  //
                               MHD_OPTION_LISTEN_SOCKET, listener.descriptor,                              //
                               MHD_OPTION_CONNECTION_LIMIT, max_connections,                               //
                               MHD_OPTION_PER_IP_CONNECTION_LIMIT, max_connections_per_client,             //
                               MHD_OPTION_CONNECTION_TIMEOUT, idle_seconds,                                //
                               MHD_OPTION_CONNECTION_MEMORY_LIMIT, memory_per_connection,                  //
                               MHD_OPTION_END);
    // Not closed here: libmicrohttpd may have done so, and one descriptor lost on the way out harms less than one closed twice.
    if (daemon_ == nullptr) {
      throw Stop(exit_code::configuration,
                 "http.address = \"" + std::string(address) +
                     "\": the HTTP server could not start; check the limits of threads and open files, or set it to off");
    }
  }
  ~Impl() { MHD_stop_daemon(daemon_); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  std::uint16_t port() const { return port_; }

 private:
  HttpHandlers handlers_;
  std::uint16_t port_ = 0;
  MHD_Daemon* daemon_ = nullptr;
};

HttpServer::HttpServer(std::string_view address, HttpHandlers handlers)
    : impl_(std::make_unique<Impl>(address, std::move(handlers))) {}
HttpServer::~HttpServer() = default;

std::uint16_t HttpServer::port() const { return impl_->port(); }

}  // namespace deja::ops
