#include "runtime/alone.h"

#include <atomic>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace deja::runtime {
namespace {

bool waits(const std::future<void>& turn) { return turn.wait_for(std::chrono::milliseconds(20)) == std::future_status::timeout; }

TEST(Alone, R1_BatchesRunBesideEachOther) {
  Alone alone;
  const auto one = alone.enter(false);
  const auto another = alone.enter(false);
}

TEST(Alone, R1_ASuspectWaitsForThoseThatRunAndGoesBeforeThoseThatCome) {
  Alone alone;
  std::atomic<int> order{0}, suspect_at{0}, batch_at{0};
  auto running = std::make_unique<Alone::Turn>(alone.enter(false));
  auto suspect = std::async(std::launch::async, [&] {
    const auto turn = alone.enter(true);
    suspect_at = ++order;
  });
  while (alone.suspects_waiting() == 0) std::this_thread::yield();
  auto batch = std::async(std::launch::async, [&] {
    const auto turn = alone.enter(false);
    batch_at = ++order;
  });
  EXPECT_TRUE(waits(batch));
  running.reset();
  suspect.get();
  batch.get();
  EXPECT_LT(suspect_at, batch_at);
}

TEST(Alone, R1_NothingRunsBesideASuspect) {
  Alone alone;
  std::atomic<int> inside{0}, most{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 2000; ++i) {
        const auto turn = alone.enter((i + t) % 3 == 0);
        const int now = ++inside;
        if ((i + t) % 3 == 0 && now > most) most = now;
        --inside;
      }
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(most, 1);
}

}  // namespace
}  // namespace deja::runtime
