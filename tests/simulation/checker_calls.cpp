#include <algorithm>

#include "simulation/checker.h"

// What the promise says of handler calls: when, beside whom, how many.

namespace deja::simulation {

void Checker::begins(const Try& t, const Database::Lane& lane, Time now) {
  const auto same_process = [&](const auto& other) { return other.second.process == t.process && other.second.runs; };
  if (t.runs) {
    const bool suspect = std::any_of(t.records.begin(), t.records.end(), [&](const LogRecord* r) { return fate(*r).suspect; });
    if (suspect) {
      const auto& record = *t.records.front();
      expect(t.records.size() == 1 && std::none_of(under_way_.begin(), under_way_.end(), same_process), "R1: a suspect runs alone in its process", &record);
      bool on_record = lane.row.suspects.from == record.offset && lane.row.suspects.starts > 0;
      for (const auto& [id, row] : lane.parked) on_record = on_record || (row.record == &record && row.starts > 0);
      expect(on_record, "R1: the start of a suspect is committed before it runs", &record);
    }
    for (const auto& [lane_id, other] : under_way_)
      expect(other.process != t.process || !other.runs || std::none_of(other.records.begin(), other.records.end(), [&](const LogRecord* r) { return fate(*r).suspect; }),
             "R1: nothing runs beside a suspect", t.records.front());
    within_budget(t, now);
    for (auto& [need, outside] : outside_) {
      const auto dependency = need.second;
      if (need.first != t.process || !outside.waiting.contains(t.lane) || !outside.open_since || asked_[t.lane] < outside.opened) continue;
      const auto needs = [dependency](const LogRecord* r) { return r->script.dependency == dependency; };
      if (!needs(t.records.front())) continue;
      expect(now >= *outside.open_since + settings_.breaker.open_for, "a breaker that is open lets nobody through who was refused", t.records.front());
      expect(t.records.size() == 1, "a probe is one record", t.records.front());
      for (const auto& [lane_id, other] : under_way_)
        expect(other.process != t.process || !outside.waiting.contains(lane_id) || !needs(other.records.front()) || asked_[lane_id] < outside.opened,
               "a breaker lets one probe through at a time", t.records.front());
    }
  }
  under_way_[t.lane] = t;
}

void Checker::ends(LaneId lane) { under_way_.erase(lane); }

void Checker::within_budget(const Try& t, Time now) {
  if (!t.drain) return;
  // a record in a second pass has its token already: it is counted once, when it has run
  const auto again = std::count_if(t.records.begin(), t.records.end(), [&](const LogRecord* r) { return fate(*r).failures > 0 && fate(*r).ordered == Wanted::nothing; });
  if (again == 0) return;
  const auto second = second_of(now);
  std::int64_t redeliveries = again, first_deliveries = 0;
  for (const auto& [at, n] : deliveries_) {
    if (at > second - core::RetryBudget::window.count() + 1) redeliveries += n.redeliveries;      // a token may be a second older than its use
    if (at > second - core::RetryBudget::window.count() - 3) first_deliveries += n.first_deliveries;  // a report may be later than what it tells
  }
  const auto most = static_cast<std::int64_t>(settings_.budget.ratio * static_cast<double>(first_deliveries)) +
                    core::RetryBudget::floor_per_second * core::RetryBudget::window.count();
  expect(redeliveries <= most, "R6: redeliveries stay within the budget", t.records.front());
}

void Checker::called(const LogRecord& record, Time now) {
  auto& f = fate(record);
  expect(!f.disposition, "a record that has its disposition is not run", &record);
  expect(!f.not_before || now >= *f.not_before, "a parked record runs when its delay is over", &record);
  expect(f.ordered == Wanted::nothing, "D1: what an operator decided on is not run", &record);
}

void Checker::refused(const Try& t, int dependency, Time now) {
  auto& outside = outside_[{t.process, dependency}];
  const bool waited = outside.waiting.contains(t.lane);
  if (!outside.open_since) {
    if (++outside.failures >= settings_.breaker.failures) {
      outside.open_since = now;
      outside.opened = ++order_;
    }
  } else if (waited && asked_[t.lane] > outside.opened) {  // a probe
    outside.open_since = now;
    outside.opened = ++order_;
  }
  outside.waiting.insert(t.lane);
}

void Checker::granted(const Try& t, int dependency) {
  auto& outside = outside_[{t.process, dependency}];
  if (!outside.open_since || asked_[t.lane] > outside.opened) {
    outside.open_since.reset();
    outside.failures = 0;
  }
  outside.waiting.erase(t.lane);
}

void Checker::needs_no_more(LaneId lane, int process) {
  for (auto& [need, outside] : outside_) {
    if (need.first != process || outside.waiting.erase(lane) == 0 || !outside.waiting.empty()) continue;
    outside.open_since.reset();
    outside.failures = 0;
  }
}

}  // namespace deja::simulation
