#include "simulation/simulation.h"

#include <algorithm>
#include <set>

#include "simulation/lane.h"
#include "simulation/process.h"

namespace deja::simulation {

namespace {
constexpr milliseconds horizon{3'600'000};
constexpr std::uint64_t most_events = 1'000'000;
}  // namespace

Simulation::Simulation(const Scenario& scenario, const Decisions& decisions, bool traced)
    : scenario_(scenario), decisions_(decisions), traced_(traced), dice_(~scenario.seed), checker_(scenario), kills_(scenario.log.size()) {}

Simulation::~Simulation() = default;

void Simulation::set_up() {
  const auto& s = settings();
  records_.resize(static_cast<std::size_t>(s.partitions) * static_cast<std::size_t>(s.lanes));
  database_.lanes.resize(records_.size());
  tried_alone_.resize(records_.size());
  partitions_.resize(static_cast<std::size_t>(s.partitions));
  std::set<Time> arrivals;
  for (const auto& record : scenario_.log) {
    records_[lane_number(record.partition, decisions_.lane_of(record, s.lanes))].push_back(&record);
    arrivals.insert(record.produced);
  }
  for (int n = 0; n < s.processes; ++n) start_process();
  for (std::int32_t p = 0; p < s.partitions; ++p) find_owner(p);
  for (const auto time : arrivals)
    at(time, [this] {
      for (auto& process : processes_)
        for (auto& lane : process->lanes) lane->wake();
    });
  for (const auto& fault : scenario_.faults) at(fault.when, [this, &fault] { happen(fault); });
}

Verdict Simulation::run() {
  Verdict verdict;
  try {
    set_up();
    while (checker_.undecided() > 0) {
      checker_.expect(!events_.empty() && events_.top().time < Time{} + horizon && event_count_ < most_events, "all records end");
      auto what = std::move(const_cast<Event&>(events_.top()).what);  // it is taken away at once
      clock_.move_to(events_.top().time);
      events_.pop();
      what();
    }
    checker_.finish();
  } catch (const Violation& e) {
    verdict.violation = text(now()) + ": " + e.what();
  }
  verdict.trace = std::move(trace_);
  verdict.records = scenario_.log.size();
  verdict.virtual_time = std::chrono::duration_cast<milliseconds>(now().time_since_epoch());
  return verdict;
}

void Simulation::at(Time when, std::function<void()> what) { events_.push({std::max(when, now()), ++event_count_, std::move(what)}); }

void Simulation::note(int process, const std::string& what) { trace_.push_back(text(now()) + ": process " + std::to_string(process) + " " + what); }

bool Simulation::is_away(int dependency) const {
  return std::any_of(scenario_.outages.begin(), scenario_.outages.end(), [&](const Outage& o) { return o.dependency == dependency && o.from <= now() && now() < o.until; });
}

Answer Simulation::answer_to(const LogRecord& record, std::int32_t attempt) {
  const auto& script = record.script;
  const auto answer = [&] {
    if (script.dependency && is_away(*script.dependency)) return Answer::refused;
    if (kills_[record.number] < script.kills) return Answer::none;
    if (script.rejects) return Answer::rejected;
    return attempt <= script.throws ? Answer::threw : Answer::returned;
  }();
  checker_.answered(record, answer);
  if (answer == Answer::none) {
    ++kills_[record.number];
    checker_.kills(record);
  }
  return answer;
}

void Simulation::tried_alone(std::size_t lane, const LogRecord* record) {
  const auto* before = std::exchange(tried_alone_[lane], record);
  if (before != nullptr && record == nullptr) checker_.lost_alone(*before);
}

void Simulation::start_process() {
  processes_.push_back(std::make_unique<Process>(*this, static_cast<int>(processes_.size())));
  auto* process = processes_.back().get();
  after(dice_.time(0, 1000), [process] { process->supervise(); });
}

Process* Simulation::some_process() {
  std::vector<Process*> able;
  for (const auto& p : processes_)
    if (p->alive && !p->leaving && p->frozen_until <= now()) able.push_back(p.get());
  return able.empty() ? nullptr : dice_.one_of(able);
}

void Simulation::find_owner(std::int32_t partition, const Process* not_this) {
  auto* process = some_process();
  if (process == nullptr || (process == not_this && dice_.chance(0.8))) {
    after(milliseconds(50), [this, partition, not_this, assignment = partitions_[static_cast<std::size_t>(partition)].assignment] {
      if (partitions_[static_cast<std::size_t>(partition)].assignment == assignment) find_owner(partition, not_this);
    });
    return;
  }
  assign(partition, *process);
}

void Simulation::assign(std::int32_t partition, Process& process) {
  auto& p = partitions_[static_cast<std::size_t>(partition)];
  p.owner = &process;
  ++p.assignment;
  for (std::int32_t n = 0; n < settings().lanes; ++n) {
    process.lanes.push_back(std::make_unique<Lane>(*this, process, partition, lane_number(partition, n)));
    process.lanes.back()->wake();
  }
}

// Its owner is asked to hand over in order; what does not answer in time loses it.
void Simulation::revoke(std::int32_t partition) {
  auto& p = partitions_[static_cast<std::size_t>(partition)];
  if (p.owner == nullptr) return;
  for (auto& lane : p.owner->lanes)
    if (lane->partition() == partition && !lane->closed()) lane->close();
  after(2 * settings().session_timeout, [this, partition, assignment = p.assignment] {
    if (partitions_[static_cast<std::size_t>(partition)].assignment == assignment) give_up(partition);
  });
}

// The group counts without its owner, who learns it with its next poll.
void Simulation::give_up(std::int32_t partition) {
  auto& p = partitions_[static_cast<std::size_t>(partition)];
  auto* owner = std::exchange(p.owner, nullptr);
  ++p.assignment;
  if (owner != nullptr && owner->alive) {
    const auto lanes = [owner, partition] {
      std::vector<Lane*> list;
      for (auto& lane : owner->lanes)
        if (lane->partition() == partition && !lane->closed()) list.push_back(lane.get());
      return list;
    }();
    at(std::max(now(), owner->frozen_until) + dice_.time(0, 300), [lanes] {
      for (auto* lane : lanes) lane->lose();
    });
  }
  find_owner(partition, owner);
}

void Simulation::lane_closed(std::int32_t partition) {
  auto& p = partitions_[static_cast<std::size_t>(partition)];
  if (p.owner == nullptr) return;
  for (const auto& lane : p.owner->lanes)
    if (lane->partition() == partition && !lane->closed()) return;
  const auto* owner = std::exchange(p.owner, nullptr);
  ++p.assignment;
  find_owner(partition, owner);
}

void Simulation::end(Process& process) {
  if (!process.alive) return;
  trace(process.number(), [] { return std::string("ends"); });
  std::set<Checker::LaneId> owned;
  for (auto& lane : process.lanes)
    if (!lane->closed() && lane->owns_row()) owned.insert(lane.get());
  for (auto& lane : process.lanes) lane->die();
  process.alive = false;
  checker_.died(process.number(), owned);
  after(dice_.time(0, 1500), [this] { start_process(); });
  for (std::int32_t p = 0; p < settings().partitions; ++p) {
    if (partitions_[static_cast<std::size_t>(p)].owner != &process) continue;
    after(dice_.time(0, settings().session_timeout.count()), [this, p, assignment = partitions_[static_cast<std::size_t>(p)].assignment] {
      if (partitions_[static_cast<std::size_t>(p)].assignment == assignment) give_up(p);
    });
  }
}

void Simulation::happen(const Fault& fault) {
  if (fault.kind == Fault::Kind::retry_now || fault.kind == Fault::Kind::dead_letter || fault.kind == Fault::Kind::discard) return order(fault);
  if (fault.kind == Fault::Kind::rebalance) return revoke(static_cast<std::int32_t>(dice_.between(0, settings().partitions - 1)));
  auto* process = some_process();
  if (process == nullptr) return;
  if (fault.kind == Fault::Kind::crash) end(*process);
  if (fault.kind == Fault::Kind::freeze) freeze(*process, fault.lasts);
  if (fault.kind == Fault::Kind::leave) leave(*process);
}

void Simulation::freeze(Process& process, milliseconds lasts) {
  trace(process.number(), [&] { return "stands still for " + std::to_string(lasts.count()) + " ms"; });
  process.frozen_until = now() + lasts;
  if (lasts <= settings().session_timeout) return;
  for (std::int32_t p = 0; p < settings().partitions; ++p) {
    if (partitions_[static_cast<std::size_t>(p)].owner != &process) continue;
    after(settings().session_timeout, [this, p, assignment = partitions_[static_cast<std::size_t>(p)].assignment] {
      if (partitions_[static_cast<std::size_t>(p)].assignment == assignment) give_up(p);
    });
  }
}

// It is asked to stop, and another one comes for it.
void Simulation::leave(Process& process) {
  trace(process.number(), [] { return std::string("is asked to stop"); });
  process.leaving = true;
  for (std::int32_t p = 0; p < settings().partitions; ++p)
    if (partitions_[static_cast<std::size_t>(p)].owner == &process) revoke(p);
  after(dice_.time(0, 1500), [this] { start_process(); });
}

void Simulation::order(const Fault& fault) {
  const auto number = static_cast<std::size_t>(dice_.between(0, static_cast<std::int64_t>(database_.lanes.size()) - 1));
  auto& lane = database_.lanes[number];
  if (lane.parked.empty()) return;
  auto& row = std::next(lane.parked.begin(), static_cast<std::ptrdiff_t>(dice_.between(0, static_cast<std::int64_t>(lane.parked.size()) - 1)))->second;
  if (fault.kind == Fault::Kind::retry_now) {
    if (!row.next_at) return;
    row.next_at = now();
    checker_.moved_by_operator(*row.record, Wanted::nothing, now());
  } else {
    row.wanted = fault.kind == Fault::Kind::discard ? Wanted::discard : Wanted::dead_letter;
    checker_.moved_by_operator(*row.record, row.wanted, now());
  }
  ++lane.row.parked_version;
  trace(-1, [&] { return "(an operator) changes " + text(*row.record); });
}

Verdict run_schedule(std::uint64_t seed, const Decisions& decisions, bool traced) {
  const auto scenario = scenario_of(seed);
  return Simulation(scenario, decisions, traced).run();
}

}  // namespace deja::simulation
