#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "core/redelivery.h"

namespace deja::core {
namespace {

using std::chrono::milliseconds;

const RetryPolicy policy{3, {milliseconds(100), milliseconds(1000)}, milliseconds(5000)};

// Every cell by hand: what the table says is what the guide promises.
TEST(Redelivery, EveryTroubleHasItsAction) {
  const std::map<Trouble, std::pair<Action, std::string_view>> expected = {
      {Trouble::rejected, {Action::dead, "rejected"}},
      {Trouble::exception, {Action::attempt, "exhausted"}},
      {Trouble::final_exception, {Action::dead, "exhausted"}},
      {Trouble::at_commit, {Action::attempt, "exhausted"}},
      {Trouble::too_slow, {Action::attempt, "exhausted"}},
      {Trouble::oversized, {Action::dead, "oversized"}},
      {Trouble::undecodable, {Action::dead, "undecodable"}},
      {Trouble::key_missing, {Action::dead, "key_missing"}},
      {Trouble::conflict, {Action::dead, "conflict"}},
      {Trouble::killed_process, {Action::dead, "killed_process"}},
      {Trouble::killed_connection, {Action::dead, "killed_connection"}},
      {Trouble::by_operator, {Action::dead, "operator"}},
      {Trouble::no_room, {Action::dead, "overflow"}},
      {Trouble::unavailable, {Action::pause, ""}},
      {Trouble::breaker_open, {Action::pause, ""}},
      {Trouble::database_away, {Action::pause, ""}},
      {Trouble::repeat, {Action::again, ""}},
      {Trouble::no_permission, {Action::stop, ""}},
      {Trouble::schema_mismatch, {Action::stop, ""}},
  };
  ASSERT_EQ(trouble_table().size(), expected.size());
  for (const auto& row : trouble_table()) {
    SCOPED_TRACE(row.what);
    const auto [action, cause] = expected.at(row.trouble);
    EXPECT_EQ(row.action, action);
    EXPECT_EQ(row.cause, cause);
    const auto first = decide(policy, row.trouble, {}, 0.5);
    EXPECT_EQ(first.action, action);
    EXPECT_EQ(first.cause, cause);
    EXPECT_EQ(first.delay, action == Action::attempt ? milliseconds(50) : milliseconds(0));
    const auto last = decide(policy, row.trouble, {2, milliseconds(0)}, 0.5);
    EXPECT_EQ(last.action, action == Action::attempt ? Action::dead : action) << "no attempt is left";
    EXPECT_EQ(last.cause, cause);
    EXPECT_EQ(row.stage.empty(), row.cause.empty()) << "what becomes a dead letter says where it failed";
  }
}

TEST(Redelivery, AttemptsAreCountedAndWaitLonger) {
  EXPECT_EQ(decide(policy, Trouble::exception, {0, {}}, 0.999).delay, milliseconds(99));
  EXPECT_EQ(decide(policy, Trouble::exception, {1, {}}, 0.999).delay, milliseconds(199));
  EXPECT_EQ(decide({20, policy.backoff, policy.deadline}, Trouble::exception, {10, {}}, 0.5).delay, milliseconds(500)) << "the cap";
  EXPECT_EQ(decide({1, policy.backoff, policy.deadline}, Trouble::exception, {}, 0.5).action, Action::dead) << "one attempt: no redelivery";
}

TEST(Redelivery, R2_TheDeadlineIsJudgedWhenAnAttemptFailed) {
  EXPECT_EQ(decide(policy, Trouble::exception, {1, milliseconds(4999)}, 0).action, Action::attempt);
  EXPECT_EQ(decide(policy, Trouble::exception, {1, milliseconds(5000)}, 0).action, Action::dead);
  EXPECT_EQ(decide(policy, Trouble::unavailable, {1, milliseconds(5000)}, 0).action, Action::pause) << "an outage ends nothing";
}

}  // namespace
}  // namespace deja::core
