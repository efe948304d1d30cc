#include <algorithm>

#include "core/utf8.h"
#include "runtime/failures.h"
#include "runtime/lane.h"
#include "runtime/worker.h"

// What a lane's handler needs and was refused: while a breaker is open the lane waits, its offsets do not move and nothing is spent.

namespace deja::runtime {

using std::chrono::milliseconds;

namespace {
constexpr milliseconds ask_again_after{1000};  // an operator may have closed it
constexpr std::size_t longest_name = 200;

// A handler names it, and it becomes a label and a row.
std::string label_of(const std::string& dependency) {
  if (!core::is_text(dependency)) return "(a name that is no text)";
  if (dependency.size() <= longest_name) return dependency;
  return std::string(core::utf8_prefix(dependency, longest_name)) + "...";
}
}  // namespace

// Its partition may be given up before it came to its close.
Lane::~Lane() { need_no_more(); }

// Only a lane that was refused before is held up by a breaker: others may not need the dependency.
std::optional<Next> Lane::wait_for_breakers() {
  const auto now = context_.clock.now();
  for (const auto& need : needs_) {
    const auto turn = context_.breakers.ask(need, this, now);
    if (turn.probe) (refused_in_drain_ ? drain_.plan : plan_).stop_before(1);
    if (turn.allowed) continue;
    give_turns_back();
    return breaker_is_open(need, std::min(turn.again, now + ask_again_after));
  }
  return std::nullopt;
}

Next Lane::breaker_is_open(const Need& need, core::Steady::time_point ask_again) {
  not_before_ = ask_again;
  set_pause(need.flood ? "flood: most records fail with one cause, which is taken for an outage (deja flood): " + flood_cause_
                       : need.dependency + " is unavailable, says the handler; its breaker is open",
            blocker(need));
  return unless_closing(Next::at(not_before_));
}

// A stop does not wait for a dependency.
Next Lane::unless_closing(Next later) const {
  const std::lock_guard lock(mutex_);
  return close_by_ ? Next::now() : later;
}

Next Lane::refused(Worker& worker, const DependencyAway& e) {
  const Need need{label_of(e.dependency), runs_->name};
  if (std::find(needs_.begin(), needs_.end(), need) == needs_.end()) needs_.push_back(need);
  const auto why = need.dependency + " is unavailable";
  const auto now = context_.clock.now();
  context_.dependencies.down(need.dependency, why);
  const auto state = context_.breakers.failed(need, this, now, worker.random().unit(), e.retry_after.value_or(milliseconds(0)), why);
  give_turns_back();  // of the other needs: that of this one was used
  if (state != core::BreakerState::closed) return breaker_is_open(need, now + ask_again_after);
  return unless_closing(wait(worker, why + ", says the handler", blocker(need), e.retry_after));
}

// What fails like most do waits, and is tried again like what needs a dependency.
Next Lane::held_by_flood(Worker& worker, const Flood& e) {
  const Need need{{}, runs_->name, true};
  if (std::find(needs_.begin(), needs_.end(), need) == needs_.end()) needs_.push_back(need);
  flood_cause_ = e.what();
  const auto now = context_.clock.now();
  context_.breakers.failed(need, this, now, worker.random().unit(), milliseconds(0), e.what());
  give_turns_back();
  return breaker_is_open(need, now + ask_again_after);
}

std::string Lane::blocker(const Need& need) const {
  const auto name = need.flood ? std::string("flood guard") : need.dependency;
  if (refused_in_drain_) return name + (drain_.rows.empty() ? "" : " (parked, offset " + std::to_string(drain_.rows.front().record.view.offset) + ")");
  return name + (current_.empty() ? "" : " (offset " + std::to_string(current_.front().view.offset) + ")");
}

// What it tries now has no outcome: somebody else may probe meanwhile.
void Lane::give_turns_back() {
  for (const auto& need : needs_) context_.breakers.give_back(need, this);
}

// The record that was refused went through, so all that it needs is there.
void Lane::granted() {
  for (const auto& need : needs_) {
    context_.breakers.succeeded(need, this);
    if (need.flood) context_.floods.over(need.handler);
    else context_.dependencies.up(need.dependency);
  }
  needs_.clear();
  refused_in_drain_ = false;
}

// The record that was refused is not this lane's any more, or ended otherwise.
void Lane::need_no_more() {
  for (const auto& need : needs_)
    // a flood that nothing waits for is forgotten in time: it may be this lane alone that has other things to do
    if (context_.breakers.left(need, this) && !need.flood) context_.dependencies.forget(need.dependency);
  needs_.clear();
  refused_in_drain_ = false;
}

}  // namespace deja::runtime
