#include "core/replay.h"

#include <algorithm>
#include <cmath>

namespace deja::core {
namespace {

constexpr std::int64_t most_at_once = 1000;
constexpr std::int64_t most_under_way_if_judged = 50;

std::string failed_of(std::int64_t failed, std::int64_t ended, double ratio) {
  return std::to_string(failed) + " of " + std::to_string(ended) + " failed, more than " + std::to_string(static_cast<int>(std::lround(ratio * 100))) + " %";
}

}  // namespace

std::string_view word(Forecast forecast) {
  switch (forecast) {
    case Forecast::would_run: return "would_run";
    case Forecast::waiting: return "waiting";
    case Forecast::already_processed: return "already_processed";
    case Forecast::conflict: return "conflict";
    case Forecast::expired: return "expired";
    case Forecast::not_registered: return "not_registered";
  }
  return "";
}

Forecast foretell(const ReplayFacts& facts) {
  if (!facts.registered) return Forecast::not_registered;
  if (facts.same_payload) return *facts.same_payload ? Forecast::already_processed : Forecast::conflict;
  if (facts.older_than_window) return Forecast::expired;
  return facts.behind ? Forecast::waiting : Forecast::would_run;
}

bool came_true(std::string_view forecast, std::string_view outcome) {
  if (forecast == word(Forecast::already_processed)) return outcome == "duplicate";
  return outcome == "processed" || outcome == "dead";  // that it would run was foretold, not that it would do well
}

ReplayStep next_step(const ReplayProgress& p) {
  const auto ended = p.fed - p.in_flight;
  const auto share = [&] { return static_cast<double>(p.failed) / static_cast<double>(ended); };
  const bool canary_runs = p.canary && p.fed <= *p.canary && p.fed < p.accepted;
  if (canary_runs && ended >= *p.canary) {
    const auto ratio = p.stop_ratio.value_or(0);
    if (p.failed > 0 && share() > ratio) return {0, "of the first, " + failed_of(p.failed, ended, ratio), false};
  }
  if (p.stop_ratio && (ended >= judged_from) && p.fed < p.accepted && share() > *p.stop_ratio) return {0, failed_of(p.failed, ended, *p.stop_ratio), false};
  if (p.fed >= p.accepted) return {0, {}, p.in_flight == 0};
  auto feed = std::min(p.accepted - p.fed, most_at_once);
  if (canary_runs && ended < *p.canary) feed = std::min(feed, *p.canary - p.fed);
  if (p.rate) feed = std::min(feed, static_cast<std::int64_t>(*p.rate * p.credit + 1e-9));
  if (p.stop_ratio) {  // what is under way cannot be stopped any more
    const auto under_way = ended < judged_from ? judged_from : std::max(most_under_way_if_judged, static_cast<std::int64_t>(p.rate.value_or(0)));
    feed = std::clamp<std::int64_t>(under_way - p.in_flight, 0, feed);
  }
  return {feed, {}, false};
}

double longest_credit(double rate) { return std::max(1.0, 1.0 / rate); }

}  // namespace deja::core
