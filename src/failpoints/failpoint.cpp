#include "failpoints/failpoint.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "failpoints/lost_link.h"

namespace deja::failpoints {
namespace {

constexpr std::size_t step_count = std::size(step_table);
constexpr std::chrono::milliseconds longest_delay{60'000};

enum class Action { kill, throw_, delay, stop };

struct Arm {
  std::size_t step = 0;
  Action action = Action::kill;
  std::uint64_t hit = 1;
  std::chrono::milliseconds delay{0};
};

/// What a driver reads while the process runs and after it was killed: hits of each step, then how often something was done there.
struct Report {
  std::array<std::atomic<std::uint64_t>, step_count> hits, done;
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

[[noreturn]] void refuse(const std::string& why) {
  std::fprintf(stderr, "DEJA_FAILPOINTS: %s\n", why.c_str());
  ::_exit(78);
}

std::string spoken(std::string_view name) {
  std::string text(name);
  std::replace(text.begin(), text.end(), '_', '-');
  return text;
}

std::size_t step_named(std::string_view name) {
  for (std::size_t i = 0; i < step_count; ++i)
    if (spoken(step_table[i].name) == name) return i;
  refuse("no step is named " + std::string(name));
}

std::uint64_t number(std::string_view text, const std::string& arm) {
  std::uint64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || end != text.data() + text.size()) refuse("not a number in " + arm);
  return n;
}

// STEP=kill@N, STEP=throw@N, STEP=stop@N or STEP=delay:MS@N
Arm parse_arm(const std::string& text) {
  const auto equals = text.find('='), at = text.rfind('@');
  if (equals == std::string::npos || at == std::string::npos || at < equals) refuse("write STEP=ACTION@HIT, not " + text);
  Arm arm;
  arm.step = step_named(std::string_view(text).substr(0, equals));
  arm.hit = number(std::string_view(text).substr(at + 1), text);
  const auto action = text.substr(equals + 1, at - equals - 1);
  if (action == "kill") {
    arm.action = Action::kill;
  } else if (action == "stop") {
    arm.action = Action::stop;
  } else if (action == "throw") {
    arm.action = Action::throw_;
    if (step_table[arm.step].throws == Throws::nothing) refuse("nothing throws at " + text.substr(0, equals));
  } else if (action.starts_with("delay:")) {
    arm.action = Action::delay;
    arm.delay = std::min(longest_delay, std::chrono::milliseconds(number(std::string_view(action).substr(6), text)));
  } else {
    refuse("an action is kill, stop, throw or delay:MS, not " + action);
  }
  return arm;
}

std::vector<Arm> arms_of_environment() {
  std::vector<Arm> arms;
  const char* text = std::getenv("DEJA_FAILPOINTS");  // NOLINT(concurrency-mt-unsafe): nothing writes the environment
  for (std::string rest = text ? text : ""; !rest.empty();) {
    const auto comma = std::min(rest.find(','), rest.size());
    if (comma > 0) arms.push_back(parse_arm(rest.substr(0, comma)));
    rest.erase(0, comma + 1);
  }
  return arms;
}

Report& report_of_environment() {
  static Report in_memory;
  const char* path = std::getenv("DEJA_FAILPOINTS_REPORT");  // NOLINT(concurrency-mt-unsafe)
  if (!path) return in_memory;
  const int file = ::open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (file < 0 || ::ftruncate(file, sizeof(Report)) != 0) refuse(std::string("cannot write ") + path);
  void* at = ::mmap(nullptr, sizeof(Report), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  ::close(file);
  if (at == MAP_FAILED) refuse(std::string("cannot map ") + path);
  return *static_cast<Report*>(at);
}

struct State {
  const std::vector<Arm> arms = arms_of_environment();
  Report& report = report_of_environment();
};

State& state() {
  static State one;
  return one;
}

// Parsed before main, so that a misspelt step is refused at once and not when a thread first comes by.
[[maybe_unused]] const State& parsed_at_start = state();

void act(const Arm& arm) {
  const auto name = spoken(step_table[arm.step].name);
  switch (arm.action) {
    case Action::kill:
      ::kill(::getpid(), SIGKILL);
      for (;;) ::pause();  // not one instruction of the protocol more
    case Action::stop:
      ::kill(::getpid(), SIGSTOP);
      return;
    case Action::delay:
      std::this_thread::sleep_for(arm.delay);
      return;
    case Action::throw_:
      if (step_table[arm.step].throws == Throws::handler_error) throw std::runtime_error("the failpoint " + name + " throws");
      throw_lost_link(name.c_str());
  }
}

}  // namespace

void passed(Step step) {
  auto& s = state();
  const auto at = static_cast<std::size_t>(step);
  const auto hit = s.report.hits[at].fetch_add(1) + 1;
  for (const auto& arm : s.arms)
    if (arm.step == at && arm.hit == hit) {
      s.report.done[at].fetch_add(1);
      act(arm);
    }
}

}  // namespace deja::failpoints
