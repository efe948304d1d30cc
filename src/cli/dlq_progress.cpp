#include "cli/dlq_progress.h"

#include <chrono>
#include <cmath>
#include <iostream>
#include <string>
#include <thread>

#include <unistd.h>

#include "postgres/explain.h"

namespace deja::cli {
namespace {

constexpr std::chrono::milliseconds look_every{300};
constexpr std::int64_t bar_width = 30;

std::string bar(const postgres::ActionRow& a) {
  const auto ended = a.done + a.failed + a.cancelled;
  const auto full = a.accepted > 0 ? bar_width * ended / a.accepted : bar_width;
  std::string text = "[" + std::string(static_cast<std::size_t>(full), '#') + std::string(static_cast<std::size_t>(bar_width - full), '.') + "] " + std::to_string(ended) + "/" +
                     std::to_string(a.accepted);
  if (a.failed > 0) text += ", " + std::to_string(a.failed) + " failed";
  if (a.eta) text += ", about " + std::to_string(static_cast<std::int64_t>(std::ceil(*a.eta))) + " s left";
  return text;
}

}  // namespace

postgres::ActionRow await_replay(postgres::Connection& connection, postgres::ReplayAdmin& admin, std::int64_t action) {
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  for (std::size_t shown = 0;;) {
    const auto rows = postgres::explained(connection, [&] { return admin.actions("", action, 1); });
    const auto& now = rows.at(0);
    if (terminal) {
      const auto text = bar(now);
      std::cerr << '\r' << text << std::string(shown > text.size() ? shown - text.size() : 0, ' ') << std::flush;
      shown = text.size();
    }
    // what was under way when it stopped ends by itself
    if (now.state != "running" && (now.state == "paused" || now.running == 0)) {
      if (terminal) std::cerr << "\n";
      return now;
    }
    std::this_thread::sleep_for(look_every);
  }
}

}  // namespace deja::cli
