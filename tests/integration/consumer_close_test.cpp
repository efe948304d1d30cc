#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include <unistd.h>

#include "kafka/consumer.h"
#include "kafka/record_sender.h"

namespace deja::kafka {
namespace {

using std::chrono::seconds;

struct Silent final : core::Log {
  bool enabled(core::Level) const override { return false; }
  void write(core::Level, std::string_view, std::initializer_list<core::Field>) override {}
};

/// Hears what the group asks for and never answers.
struct Listener final : GroupListener {
  void assigned(const Partitions& partitions) override { owned += partitions.size(); }
  void revoked(const Partitions& partitions, bool) override { asked_for += partitions.size(); }
  Refetch refetched(const Partition&) override { return {}; }
  void group_error(const std::string&, bool) override {}
  std::size_t owned = 0, asked_for = 0;
};

struct Member {
  Member(const std::string& servers, const std::string& strategy, const std::vector<std::string>& topics)
      : consumer({{"bootstrap.servers", servers}, {"partition.assignment.strategy", strategy}}, "group-of-" + topics[0], "a-client", listener, log) {
    consumer.subscribe(topics);
  }
  Silent log;
  Listener listener;
  Consumer consumer;
};

template <class F>
bool poll_until(F&& done, Member& one, Member* other = nullptr) {
  const auto until = std::chrono::steady_clock::now() + seconds(60);
  while (!done() && std::chrono::steady_clock::now() < until) {
    one.consumer.poll(std::chrono::milliseconds(20));
    if (other) other->consumer.poll(std::chrono::milliseconds(20));
  }
  return done();
}

class AMemberThatIsAskedForItsPartitions : public ::testing::TestWithParam<const char*> {};

TEST_P(AMemberThatIsAskedForItsPartitions, CloseEndsAlthoughNobodyAnswered) {
  const char* servers = std::getenv("DEJA_KAFKA");
  if (servers == nullptr) GTEST_SKIP() << "DEJA_KAFKA is not set";
  const auto name = "close-" + std::to_string(::getpid()) + GetParam();
  const std::vector<std::string> topics{name + "-1", name + "-2"};
  RecordSender makes({{"bootstrap.servers", servers}}, seconds(60), {});
  for (const auto& topic : topics) makes.wait_for_topic(topic);
  auto one = std::make_unique<Member>(servers, GetParam(), topics);
  ASSERT_TRUE(poll_until([&] { return one->listener.owned == 2; }, *one));
  Member other(servers, GetParam(), topics);
  ASSERT_TRUE(poll_until([&] { return one->listener.asked_for > 0; }, *one, &other));

  auto closed = std::async(std::launch::async, [&] { one->consumer.close(); });
  if (closed.wait_for(seconds(30)) != std::future_status::ready) {
    ADD_FAILURE() << "close() waits for an answer that nobody gives";
    std::fflush(nullptr);
    std::_Exit(1);  // its thread cannot be ended
  }
  EXPECT_TRUE(poll_until([&] { return other.listener.owned == 2; }, other)) << "the group missed that it left";
}

INSTANTIATE_TEST_SUITE_P(Protocols, AMemberThatIsAskedForItsPartitions, ::testing::Values("cooperative-sticky", "range"),
                         [](const auto& test) { return std::string(test.param) == "range" ? "eager" : "cooperative"; });

}  // namespace
}  // namespace deja::kafka
