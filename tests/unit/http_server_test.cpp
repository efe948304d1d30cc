#include "ops/http_server.h"

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <vector>

#include <nlohmann/json.hpp>

#include <deja/errors.h>

namespace deja {
namespace {

using nlohmann::json;

class Connection {
 public:
  explicit Connection(std::uint16_t port, int family = AF_INET) : descriptor_(socket(family, SOCK_STREAM, 0)) {
    const timeval limit{.tv_sec = 10, .tv_usec = 0};
    setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    v6.sin6_addr = in6addr_loopback;
    const int result = family == AF_INET ? connect(descriptor_, reinterpret_cast<sockaddr*>(&v4), sizeof v4)
                                         : connect(descriptor_, reinterpret_cast<sockaddr*>(&v6), sizeof v6);
    connected_ = result == 0;
  }
  ~Connection() { close(descriptor_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  bool connected() const { return connected_; }
  void send_text(std::string_view text) const { send(descriptor_, text.data(), text.size(), MSG_NOSIGNAL); }
  std::string read_to_end() const {
    std::string all;
    char buffer[4096];
    for (ssize_t got = 0; (got = recv(descriptor_, buffer, sizeof buffer, 0)) > 0;)
      all.append(buffer, static_cast<std::size_t>(got));
    return all;
  }

 private:
  int descriptor_;
  bool connected_ = false;
};

struct Response {
  int status = 0;
  std::string headers;
  std::string body;
};

Response ask(std::uint16_t port, const std::string& method, const std::string& path, int family = AF_INET) {
  const Connection connection(port, family);
  connection.send_text(method + ' ' + path + " HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
  const auto text = connection.read_to_end();
  Response response;
  if (!text.starts_with("HTTP/1.")) return response;
  const auto end = text.find("\r\n\r\n");
  response.status = std::stoi(text.substr(9, 3));
  response.headers = text.substr(0, end + 2);
  response.body = text.substr(end + 4);
  return response;
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

core::Status ready_status() {
  core::Status status;
  status.group = "billing";
  status.state = "running";
  return status;
}

ops::HttpHandlers handlers() {
  return {.metrics = [] { return std::string("deja_records_total 1\n"); }, .status = ready_status};
}

// The cause with which the address is refused.
std::string refusal(const std::string& address) {
  try {
    const ops::HttpServer server(address, handlers());
  } catch (const Stop& stop) {
    EXPECT_EQ(stop.exit_code(), exit_code::configuration);
    return stop.what();
  }
  return "";
}

TEST(HttpServer, MetricsAreServedInPrometheusTextFormat) {
  const ops::HttpServer server("127.0.0.1:0", handlers());
  const auto response = ask(server.port(), "GET", "/metrics");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "deja_records_total 1\n");
  EXPECT_TRUE(contains(response.headers, "Content-Type: text/plain; version=0.0.4")) << response.headers;
}

TEST(HttpServer, AQueryDoesNotChangeThePath) {
  const ops::HttpServer server("127.0.0.1:0", handlers());
  EXPECT_EQ(ask(server.port(), "GET", "/metrics?name[]=deja_records_total").status, 200);
}

TEST(HttpServer, HeadHasTheHeadersOfGetAndNoBody) {
  const ops::HttpServer server("127.0.0.1:0", handlers());
  const auto response = ask(server.port(), "HEAD", "/metrics");
  EXPECT_EQ(response.status, 200);
  EXPECT_TRUE(contains(response.headers, "Content-Length: 21\r\n")) << response.headers;
  EXPECT_EQ(response.body, "");
}

TEST(HttpServer, OtherMethodsAreRefusedWithWhatIsAllowed) {
  const ops::HttpServer server("127.0.0.1:0", handlers());
  for (const auto* method : {"POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get"}) {
    const auto response = ask(server.port(), method, "/metrics");
    EXPECT_EQ(response.status, 405) << method;
    EXPECT_TRUE(contains(response.headers, "Allow: GET, HEAD\r\n")) << method;
  }
}

TEST(HttpServer, ABodyThatIsStillOnItsWayIsNotWaitedFor) {
  const ops::HttpServer server("127.0.0.1:0", handlers());
  const Connection connection(server.port());
  connection.send_text("POST /status HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\nstart");
  EXPECT_TRUE(contains(connection.read_to_end(), "405"));
}

TEST(HttpServer, AnUnknownPathListsThoseThatExist) {
  const ops::HttpServer server("127.0.0.1:0", handlers());
  const auto response = ask(server.port(), "GET", "/nothing");
  EXPECT_EQ(response.status, 404);
  for (const auto* path : {"/metrics", "/health/live", "/health/ready", "/status"})
    EXPECT_TRUE(contains(response.body, path)) << path;
}

TEST(HttpServer, TheRootIsAnIndex) {
  const ops::HttpServer server("127.0.0.1:0", handlers());
  const auto response = ask(server.port(), "GET", "/");
  EXPECT_EQ(response.status, 200);
  EXPECT_TRUE(contains(response.body, "/health/ready"));
}

TEST(HttpServer, AReadyProgramAnswers200) {
  const ops::HttpServer server("127.0.0.1:0", handlers());
  EXPECT_EQ(ask(server.port(), "GET", "/health/ready").status, 200);
  EXPECT_EQ(ask(server.port(), "GET", "/health/live").status, 200);
}

TEST(HttpServer, AProgramThatIsNotReadyAnswers503WithTheCausesAndStaysLive) {
  auto with_causes = handlers();
  with_causes.status = [] {
    auto status = ready_status();
    status.not_ready = {"postgres is away", "no lane is owned"};
    return status;
  };
  const ops::HttpServer server("127.0.0.1:0", with_causes);
  const auto response = ask(server.port(), "GET", "/health/ready");
  EXPECT_EQ(response.status, 503);
  EXPECT_TRUE(contains(response.headers, "Content-Type: application/json"));
  EXPECT_EQ(json::parse(response.body)["causes"], json({"postgres is away", "no lane is owned"}));
  EXPECT_EQ(ask(server.port(), "GET", "/health/live").status, 200);
}

TEST(HttpServer, AProgramThatIsNotLiveAnswers503) {
  auto hung = handlers();
  hung.status = [] {
    auto status = ready_status();
    status.live = false;
    return status;
  };
  const ops::HttpServer server("127.0.0.1:0", hung);
  EXPECT_EQ(ask(server.port(), "GET", "/health/live").status, 503);
}

TEST(HttpServer, StatusIsJson) {
  const ops::HttpServer server("127.0.0.1:0", handlers());
  const auto response = ask(server.port(), "GET", "/status");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(json::parse(response.body)["group"], "billing");
}

TEST(HttpServer, AThrowingHandlerGives500WithoutDetailsAndIsReported) {
  std::vector<std::string> reported;
  auto failing = handlers();
  failing.metrics = []() -> std::string { throw std::runtime_error("password=hunter2"); };
  failing.status = []() -> core::Status { throw 42; };
  failing.failed = [&](std::string_view path, std::string_view what) {
    reported.push_back(std::string(path) + ": " + std::string(what));
  };
  {
    const ops::HttpServer server("127.0.0.1:0", failing);
    for (const auto* path : {"/metrics", "/status"}) {
      const auto response = ask(server.port(), "GET", path);
      EXPECT_EQ(response.status, 500) << path;
      EXPECT_EQ(response.body, "internal error\n") << path;
    }
    EXPECT_EQ(ask(server.port(), "GET", "/").status, 200);
  }
  EXPECT_EQ(reported, (std::vector<std::string>{"/metrics: password=hunter2", "/status: an exception of an unknown type"}));
}

TEST(HttpServer, OneConnectionCarriesSeveralRequests) {
  const ops::HttpServer server("127.0.0.1:0", handlers());
  const Connection connection(server.port());
  connection.send_text("GET / HTTP/1.1\r\nHost: test\r\n\r\nGET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
  const auto text = connection.read_to_end();
  EXPECT_TRUE(contains(text, "/health/ready"));
  EXPECT_TRUE(contains(text, "deja_records_total 1"));
}

TEST(HttpServer, ALargeAnswerArrivesWhole) {
  auto large = handlers();
  large.metrics = [] { return std::string(5'000'000, 'x'); };
  const ops::HttpServer server("127.0.0.1:0", large);
  EXPECT_EQ(ask(server.port(), "GET", "/metrics").body.size(), 5'000'000U);
}

TEST(HttpServer, OneClientCannotTakeEveryConnection) {
  const ops::HttpServer server("127.0.0.1:0", handlers());
  std::vector<std::unique_ptr<Connection>> idle;
  for (int i = 0; i < 200; ++i) idle.push_back(std::make_unique<Connection>(server.port()));
  // The first ones hold every place of this client, so the last one is closed without an answer.
  idle.back()->send_text("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(idle.back()->read_to_end(), "");
  idle.front()->send_text("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(contains(idle.front()->read_to_end(), "200 OK"));
}

TEST(HttpServer, GarbageDoesNotStopIt) {
  const ops::HttpServer server("127.0.0.1:0", handlers());
  for (const std::string& garbage :
       {std::string("\0\xFF\r\n\r\n", 6), std::string("GET\r\n\r\n"), "GET /" + std::string(100'000, 'x') + " HTTP/1.1\r\n\r\n"}) {
    const Connection connection(server.port());
    connection.send_text(garbage);
  }
  EXPECT_EQ(ask(server.port(), "GET", "/").status, 200);
}

TEST(HttpServer, ItListensOnIpv6AndOnNames) {
  {
    const ops::HttpServer server("localhost:0", handlers());
    EXPECT_EQ(ask(server.port(), "GET", "/").status, 200);
  }
  std::ifstream interfaces("/proc/net/if_inet6");
  if (interfaces.peek() == std::ifstream::traits_type::eof()) GTEST_SKIP() << "no IPv6 here";
  const ops::HttpServer server("[::1]:0", handlers());
  EXPECT_EQ(ask(server.port(), "GET", "/", AF_INET6).status, 200);
}

TEST(HttpServer, ATakenPortNamesTheKeyTheValueAndTheWayOut) {
  const ops::HttpServer server("127.0.0.1:0", handlers());
  const auto address = "127.0.0.1:" + std::to_string(server.port());
  for (const auto& taken : {address, "localhost:" + std::to_string(server.port())}) {
    const auto cause = refusal(taken);
    EXPECT_TRUE(contains(cause, "http.address = \"" + taken + "\": the port is taken; ")) << cause;
    EXPECT_TRUE(contains(cause, "choose another port")) << cause;
  }
}

TEST(HttpServer, ThePortIsFreeAgainAfterItsDestruction) {
  auto first = std::make_unique<ops::HttpServer>("127.0.0.1:0", handlers());
  const auto port = first->port();
  EXPECT_EQ(ask(port, "GET", "/").status, 200);
  first.reset();
  const ops::HttpServer second("127.0.0.1:" + std::to_string(port), handlers());
  EXPECT_EQ(ask(second.port(), "GET", "/").status, 200);
}

TEST(HttpServer, AMalformedAddressSaysWhatIsWrongAndHowToWriteIt) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "the port is missing"},
      {"127.0.0.1", "the port is missing"},
      {"127.0.0.1:", "the port is no number"},
      {"127.0.0.1:http", "the port is no number"},
      {"127.0.0.1:65536", "the port is no number"},
      {"127.0.0.1:-1", "the port is no number"},
      {"127.0.0.1:80 ", "the port is no number"},
      {":9464", "the host is missing"},
      {"::1:9464", "an IPv6 address has to stand in brackets"},
      {"[::1:9464", "an IPv6 address has to stand in brackets"},
      {"[127.0.0.1]:9464", "only an IPv6 address stands in brackets"},
  };
  for (const auto& [address, wrong] : cases) {
    const auto cause = refusal(address);
    EXPECT_TRUE(contains(cause, "http.address = \"" + address + "\": " + wrong)) << cause;
    EXPECT_TRUE(contains(cause, "write host:port")) << cause;
  }
}

TEST(HttpServer, AHostThatIsNotThisMachineIsRefused) {
  EXPECT_TRUE(contains(refusal("192.0.2.1:9464"), "this machine has no such address"));
  EXPECT_TRUE(contains(refusal(std::string(300, 'x') + ":9464"), "cannot be resolved"));
}

TEST(HttpServer, ItLeavesTheSignalMaskAsItWas) {
  sigset_t before;
  sigset_t after;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  const ops::HttpServer server("127.0.0.1:0", handlers());
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  for (int signal = 1; signal < 32; ++signal) EXPECT_EQ(sigismember(&before, signal), sigismember(&after, signal)) << signal;
}

}  // namespace
}  // namespace deja
