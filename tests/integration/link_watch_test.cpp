#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <thread>

#include "postgres/connection.h"
#include "postgres/errors.h"
#include "postgres/link_watch.h"
#include "testing/scratch_database.h"

// Links that the kernel believes in and that are dead: between the program and Postgres stands a relay that goes on holding the
// connection and passes nothing any more.

namespace deja::postgres {
namespace {

using std::chrono::milliseconds;

class Relay {
 public:
  explicit Relay(int target_port) : target_port_(target_port), listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    auto address = at(0);
    ::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address);
    ::listen(listener_, 16);
    socklen_t size = sizeof address;
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    accepter_ = std::thread([this] { accept(); });
  }
  ~Relay() {
    ending_ = true;
    accepter_.join();
    for (auto& each : pumps_) each.join();
    ::close(listener_);
  }
  int port() const { return port_; }
  /// Links of now, and later ones with `all`.
  void kill(bool all = false) {
    dead_below_ = links_.load();
    all_dead_ = all;
  }

 private:
  static sockaddr_in at(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    return address;
  }
  void accept() {
    while (!ending_) {
      pollfd ready{listener_, POLLIN, 0};
      if (::poll(&ready, 1, 20) < 1) continue;
      const int client = ::accept(listener_, nullptr, nullptr);
      pumps_.emplace_back([this, client, number = links_++] { pump(client, number); });
    }
  }
  void pump(int client, int number) {
    const int server = ::socket(AF_INET, SOCK_STREAM, 0);
    auto address = at(target_port_);
    bool open = ::connect(server, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    while (open && !ending_) {
      std::array<pollfd, 2> ready{{{client, POLLIN, 0}, {server, POLLIN, 0}}};
      ::poll(ready.data(), 2, 20);
      if (all_dead_ || number < dead_below_) {
        std::this_thread::yield();
        continue;
      }
      for (int side = 0; side < 2 && open; ++side) {
        if (ready[static_cast<std::size_t>(side)].revents == 0) continue;
        std::array<char, 65536> data;
        const auto n = ::read(side == 0 ? client : server, data.data(), data.size());
        open = n > 0 && ::write(side == 0 ? server : client, data.data(), static_cast<std::size_t>(n)) == n;
      }
    }
    ::close(client);
    ::close(server);
  }

  const int target_port_, listener_;
  int port_ = 0;
  std::atomic<int> links_{0}, dead_below_{0};
  std::atomic<bool> ending_{false}, all_dead_{false};
  std::thread accepter_;
  std::vector<std::thread> pumps_;  // the accepter's, until it is joined
};

class LinkWatchOnARelay : public ::testing::Test {
 protected:
  int told() const { return told_; }
  int sessions_in_transaction() {
    return direct_.exec("select count(*) from pg_stat_activity where state like 'idle in transaction%' and application_name = 'deja watched'")[0][0].as<int>();
  }

  testing::ScratchDatabase database_;
  Connection direct_{{.url = database_.url()}};
  Relay relay_{direct_.exec("select inet_server_port()")[0][0].as<int>()};
  std::atomic<int> told_{0};
  ConnectionOptions options_{.url = database_.url() + "?hostaddr=127.0.0.1&port=" + std::to_string(relay_.port()),
                             .what = "watched",
                             .connect_timeout = milliseconds(2000),
                             .lost_after = milliseconds(400)};
  LinkWatch watch_{options_, [this](const std::string&) { ++told_; }};
};

TEST_F(LinkWatchOnARelay, F1_AStatementOnWhichPostgresWorksMayTakeItsTime) {
  options_.lost_after = milliseconds(2000);  // the watcher's own questions are to be answered within it, on a busy machine too
  LinkWatch patient(options_, [this](const std::string&) { ++told_; });
  options_.watch = &patient;
  Connection c(options_);
  EXPECT_EQ(c.exec("select 1 from (select pg_sleep(6)) a")[0][0].as<int>(), 1);
  EXPECT_EQ(told(), 0);
}

TEST_F(LinkWatchOnARelay, F1_AStatementOnADeadLinkFailsAndItsTransactionDoesNotKeepItsLocks) {
  options_.watch = &watch_;
  Connection c(options_);
  direct_.exec("create table held (n integer); insert into held values (1)");
  c.exec("begin; update held set n = 2");
  relay_.kill();
  try {
    c.exec("select 1");
    FAIL() << "nobody can have answered";
  } catch (const std::exception& e) {
    EXPECT_EQ(classify(e, !c.broken()).kind, Failure::lost_connection) << e.what();
  }
  while (told() == 0) std::this_thread::yield();  // after the socket is shut down
  direct_.exec("set lock_timeout = '30s'");
  EXPECT_EQ(direct_.exec("select n from held for update")[0][0].as<int>(), 1) << "the lock was waited for, and what was not committed is undone";
}

TEST_F(LinkWatchOnARelay, F1_WhereNobodyAnswersAtAllTheStatementFailsToo) {
  options_.watch = &watch_;
  Connection c(options_);
  c.exec("begin");
  relay_.kill(true);
  EXPECT_THROW(c.exec("select 1"), std::exception);
  EXPECT_EQ(sessions_in_transaction(), 1);
}

}  // namespace
}  // namespace deja::postgres
