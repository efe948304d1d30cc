#include <algorithm>

#include "runtime/failures.h"
#include "runtime/lane.h"
#include "runtime/worker.h"

// What a lane's handler needs and was refused: while a breaker is open the lane waits, its offsets do not move and nothing is spent.

namespace deja::runtime {

using std::chrono::milliseconds;

namespace {
constexpr milliseconds ask_again_after{1000};  // an operator may have closed it
}

// Only a lane that was refused before is held up by a breaker: others may not need the dependency.
std::optional<Next> Lane::wait_for_breakers() {
  const auto now = context_.clock.now();
  for (const auto& need : needs_) {
    const auto turn = context_.breakers.ask(need, this, now);
    if (turn.probe) plan_.stop_before(1);
    if (turn.allowed) continue;
    for (const auto& other : needs_) context_.breakers.give_back(other, this);
    not_before_ = std::min(turn.again, now + ask_again_after);
    set_pause(need.dependency + " is unavailable, says the handler; its breaker is open", blocker(need));
    return Next::at(not_before_);
  }
  return std::nullopt;
}

Next Lane::refused(Worker& worker, const DependencyAway& e) {
  const Need need{e.dependency, spec_.name};
  if (std::find(needs_.begin(), needs_.end(), need) == needs_.end()) needs_.push_back(need);
  context_.dependencies.down(e.dependency, e.what());
  const auto state = context_.breakers.failed(need, this, context_.clock.now(), worker.random().unit(), e.retry_after.value_or(milliseconds(0)), e.what());
  return wait(worker, e.dependency + " is unavailable, says the handler" + (state == core::BreakerState::closed ? "" : "; its breaker is open"), blocker(need),
              e.retry_after);
}

std::string Lane::blocker(const Need& need) const {
  return need.dependency + (current_.empty() ? "" : " (offset " + std::to_string(current_.front().view.offset) + ")");
}

// The record that was refused went through, so all that it needs is there.
void Lane::granted() {
  for (const auto& need : needs_) {
    context_.breakers.succeeded(need, this);
    context_.dependencies.up(need.dependency);
  }
  needs_.clear();
}

// The record that was refused is not this lane's any more, or ended otherwise.
void Lane::need_no_more() {
  for (const auto& need : needs_)
    if (context_.breakers.left(need, this)) context_.dependencies.forget(need.dependency);
  needs_.clear();
}

}  // namespace deja::runtime
