#include "simulation/checker.h"

#include <algorithm>
#include <cmath>

namespace deja::simulation {

using core::Disposition;

void Checker::expect(bool holds, std::string_view rule, const LogRecord* record) const {
  if (!holds) throw Violation(std::string(rule) + (record != nullptr ? ": " + text(*record) : ""));
}

void Checker::committed(const Database::Lane& lane, const std::vector<Outcome>& outcomes, Time now) {
  for (const auto& o : outcomes) {
    if (o.gone) continue;
    auto& f = fate(*o.record);
    expect(!f.disposition, "a record has one disposition", o.record);
    if (o.failed && o.ran) expect(f.answer == Answer::threw, "R2: an attempt is spent by what the handler throws, and by no outage", o.record);
    if (o.ran) ++(f.failures > 0 ? deliveries_[second_of(now)].redeliveries : deliveries_[second_of(now)].first_deliveries);
    f.suspect = false;
    switch (o.disposition) {
      case Disposition::processed: processed(f, *o.record); break;
      case Disposition::parked: parked(f, o, now); continue;
      case Disposition::dead: dead(f, o, lane); break;
      case Disposition::discarded: expect(f.ordered == Wanted::discard, "only an operator discards", o.record); break;
      case Disposition::conflict: break;
      case Disposition::duplicate: {
        const auto effect = effects_.find(o.record->key);
        const bool known = effect != effects_.end() && effect->second->digest == o.record->digest;
        const bool settled = std::any_of(scenario_.log.begin(), scenario_.log.end(), [&](const LogRecord& other) {
          const auto& its = fates_[other.number];
          return other.number != o.record->number && other.key == o.record->key && other.digest == o.record->digest &&
                 (its.parked || its.disposition == Disposition::discarded);
        });
        expect(known || settled, "a duplicate has a record that came first", o.record);
        break;
      }
    }
    decide(f, o.disposition);
  }
  std::map<std::uint64_t, std::size_t> of_key;
  std::set<std::pair<core::Uuid, std::int64_t>> payloads;
  for (const auto& [id, row] : lane.parked) {
    if (row.record->ordering) expect(++of_key[*row.record->ordering] <= settings_.park_key_max, "park.key.max.records bounds an ordering key", row.record);
    expect(payloads.emplace(row.record->key, row.record->digest).second, "B4: twins of a parked record take no row", row.record);
  }
  expect(lane.parked.size() <= settings_.park_max, "park.max.records bounds a lane");
}

void Checker::decide(Fate& f, Disposition disposition) {
  f.disposition = disposition;
  f.parked = false;
  f.not_before.reset();
  ++decided_;
}

bool Checker::earlier_undecided(const LogRecord& record) const {
  if (!record.ordering) return false;
  for (std::size_t n = record.number; n-- > 0;) {
    const auto& other = scenario_.log[n];
    if (other.partition != record.partition) break;
    if (other.ordering == record.ordering && !fates_[n].disposition) return true;
  }
  return false;
}

void Checker::processed(Fate& f, const LogRecord& record) {
  expect(f.answer == Answer::returned, "an effect is of a handler that returned", &record);
  expect(effects_.emplace(record.key, &record).second, "one effect for an idempotency key", &record);
  expect(!earlier_undecided(record), "R5: effects of one ordering key are in the order of the log", &record);
  expect(f.ordered == Wanted::nothing, "D1: an operator's order is obeyed", &record);
}

void Checker::parked(Fate& f, const Outcome& o, Time now) {
  if (!o.delay) {
    expect(earlier_undecided(*o.record), "R5: only what follows a parked record waits without being run", o.record);
    f.parked = true;
    return;
  }
  expect(o.failed, "only what failed is parked with a delay", o.record);
  expect(!earlier_undecided(*o.record), "R5: no record is run before an earlier one of its ordering key", o.record);
  const double ceiling = std::min(static_cast<double>(settings_.retry.backoff.cap.count()),
                                  static_cast<double>(settings_.retry.backoff.base.count()) * std::exp2(f.failures));
  const auto delay = static_cast<double>(o.delay->count());
  expect(delay >= 0 && delay <= ceiling, "a delay is between 0 and the ceiling of its attempt", o.record);
  if (ceiling >= 10) jitter_.push_back(delay / ceiling);
  ++f.failures;
  expect(f.failures < settings_.retry.max_attempts, "retry.max.attempts bounds attempts", o.record);
  expect(f.waited < settings_.retry.deadline, "retry.deadline.ms bounds the delays", o.record);
  f.waited += *o.delay;
  f.not_before = now + *o.delay;
  f.parked = true;
}

void Checker::dead(Fate& f, const Outcome& o, const Database::Lane& lane) {
  if (o.failed) ++f.failures;
  if (o.cause == core::cause::rejected) {
    expect(f.answer == Answer::rejected, "only what the handler rejects is dead as rejected", o.record);
  } else if (o.cause == core::cause::exhausted) {
    expect(o.failed && (f.failures >= settings_.retry.max_attempts || f.waited >= settings_.retry.deadline),
           "R2: a record is exhausted by its attempts or by its delays, and by nothing else", o.record);
  } else if (o.cause == core::cause::conflict) {
    const auto effect = effects_.find(o.record->key);
    expect(effect != effects_.end() && effect->second->digest != o.record->digest, "a conflict has an effect of another payload", o.record);
  } else if (o.cause == core::cause::killed_process) {
    expect(f.lost_alone >= settings_.crash_max_starts, "R1: only what ran alone when its process ended dies of that", o.record);
  } else if (o.cause == core::cause::by_operator) {
    expect(f.ordered == Wanted::dead_letter, "only an operator gives up a record", o.record);
  } else if (o.cause == core::cause::overflow) {
    const auto of_key = std::count_if(lane.parked.begin(), lane.parked.end(), [&](const auto& p) { return p.second.record->ordering == o.record->ordering; });
    expect(settings_.park_or_die && (lane.parked.size() >= settings_.park_max || (o.record->ordering && static_cast<std::size_t>(of_key) >= settings_.park_key_max)),
           "there is no room for what is dead for lack of it", o.record);
  } else {
    expect(false, "a cause of the table", o.record);
  }
}

void Checker::moved_by_operator(const LogRecord& record, Wanted wanted, Time now) {
  auto& f = fate(record);
  if (wanted == Wanted::nothing) f.not_before = now;
  else f.ordered = wanted, f.suspect = false;  // it is not run any more
}

// R5 does not say it, but parking rests on it: one kind of work must not wait for the other to end.
void Checker::turn_taken(LaneId lane, bool drain, bool other_could) {
  auto& t = turns_[lane];
  const auto &[mine, its] = drain ? std::tie(t.drains, t.lives) : std::tie(t.lives, t.drains);
  its = 0;
  mine = other_could ? mine + 1 : 0;
  expect(mine <= 2, drain ? "parked records let live ones have their turn" : "live records let parked ones have their turn");
}

void Checker::died(int process, const std::set<LaneId>& owned) {
  for (auto at = under_way_.begin(); at != under_way_.end();) {
    if (at->second.process != process) {
      ++at;
      continue;
    }
    if (owned.contains(at->first) && at->second.runs)
      for (const auto* record : at->second.records)
        if (!at->second.drain || fate(*record).ordered == Wanted::nothing) fate(*record).suspect = true;
    at = under_way_.erase(at);
  }
  std::erase_if(outside_, [&](const auto& o) { return o.first.first == process; });
}

void Checker::finish() const {
  for (const auto& record : scenario_.log) {
    const auto& f = fates_[record.number];
    expect(f.disposition.has_value(), "nothing is lost, and all ends", &record);
    expect(f.kills <= settings_.crash_max_starts + 1, "R1: what ends its process is found", &record);
  }
  // of so many delays one is short, or they are not spread: what failed together would come again together
  if (jitter_.size() < 40) return;
  expect(*std::min_element(jitter_.begin(), jitter_.end()) < 0.5, "delays are spread from 0 on");
  expect(*std::max_element(jitter_.begin(), jitter_.end()) > 0.5, "delays are spread up to their ceiling");
}

}  // namespace deja::simulation
