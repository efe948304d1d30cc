#include "simulation/scenario.h"

#include <algorithm>

#include "core/keys.h"
#include "core/lane_map.h"

namespace deja::simulation {

namespace {

/// Schedules of one kind look where others seldom come.
struct Profile {
  double throws = 0.1, rejects = 0.03, kills = 0, needs = 0, duplicates = 0.1, conflicts = 0.03;
  std::int64_t most_records = 40;
  int crashes = 0, freezes = 0, moves = 0, orders = 0, outages = 0;
  bool storm = false;
};

Profile profile_of(Dice& dice) {
  Profile p;
  switch (dice.between(0, 9)) {
    case 0: break;
    case 1: p.throws = 0.5; break;
    case 2: p.needs = 0.5; p.outages = 3; p.throws = 0.2; break;
    case 3: p.kills = 0.06; p.crashes = 2; break;
    case 4: p.freezes = 3; p.moves = 3; p.throws = 0.2; break;
    case 5: p.orders = 12; p.throws = 0.5; p.moves = 1; break;
    case 6: p.crashes = 5; p.throws = 0.3; p.needs = 0.2; p.outages = 2; break;
    case 7: p.duplicates = 0.5; p.conflicts = 0.1; p.throws = 0.4; p.crashes = 1; break;
    case 8: p.throws = 0.3; p.kills = 0.03; p.needs = 0.2; p.outages = 2; p.crashes = 2; p.freezes = 1; p.moves = 2; p.orders = 4; break;
    default: p.storm = dice.chance(0.3); p.throws = p.storm ? 0.9 : 0.6; p.most_records = p.storm ? 220 : 60; break;
  }
  return p;
}

Settings settings_of(Dice& dice, const Profile& profile) {
  Settings s;
  s.partitions = static_cast<std::int32_t>(dice.between(1, 2));
  s.lanes = static_cast<std::int32_t>(dice.between(1, 3));
  s.processes = static_cast<int>(dice.between(1, 3));
  s.batch_max = static_cast<std::size_t>(dice.one_of<int>({1, 2, 4, 8, 16, 100}));
  s.retry.max_attempts = static_cast<std::int32_t>(dice.between(1, 6));
  s.retry.backoff = {dice.time(10, 300), dice.time(100, 3000)};
  s.retry.deadline = dice.chance(0.5) ? dice.time(100, 3000) : milliseconds(3'600'000);
  if (dice.chance(0.3)) s.park_max = static_cast<std::size_t>(dice.between(2, 6));
  if (dice.chance(0.3)) s.park_key_max = static_cast<std::size_t>(dice.between(1, 4));
  s.park_or_die = dice.chance(0.5);
  s.crash_max_starts = static_cast<std::int32_t>(dice.between(1, 3));
  s.breaker = {static_cast<std::int32_t>(dice.between(1, 5)), dice.time(200, 3000)};
  s.budget.ratio = dice.one_of<double>({0.0, 0.1, 0.5});
  s.call = dice.time(1, 60);
  if (dice.chance(0.3)) s.repeats = 0.1;
  if (dice.chance(0.3)) s.lost_replies = 0.1;
  if (profile.storm) {
    s.partitions = s.lanes = 1;
    s.batch_max = 100;
    s.park_max = 10'000;
    s.park_key_max = 1'000;
    s.retry.max_attempts = 6;
    s.retry.backoff = {dice.time(10, 100), dice.time(100, 500)};
    s.retry.deadline = milliseconds(3'600'000);
  }
  return s;
}

Script script_of(Dice& dice, const Profile& profile) {
  Script s;
  if (dice.chance(profile.throws)) s.throws = dice.chance(0.3) ? Script::always : static_cast<std::int32_t>(dice.between(1, 6));
  else if (dice.chance(profile.rejects)) s.rejects = true;
  else if (dice.chance(profile.kills)) s.kills = dice.chance(0.5) ? Script::always : static_cast<std::int32_t>(dice.between(1, 3));
  s.writes_first = dice.chance(0.5);
  if (dice.chance(profile.needs)) s.dependency = static_cast<int>(dice.between(0, 1));
  return s;
}

void add_records(Scenario& scenario, Dice& dice, const Profile& profile) {
  core::KeyMaker keys("group", "handler", "");
  const auto ordering_keys = profile.storm ? 200 : dice.between(1, 8);
  const auto period = dice.time(0, 300);
  for (std::int32_t partition = 0; partition < scenario.settings.partitions; ++partition) {
    const auto first = scenario.log.size();
    const auto count = profile.storm ? profile.most_records : dice.between(3, profile.most_records);
    milliseconds produced{0};
    for (std::int64_t offset = 0; offset < count; ++offset) {
      LogRecord r;
      r.number = scenario.log.size();
      r.partition = partition;
      r.offset = offset;
      if (dice.chance(0.85)) {
        r.ordering_key = "customer-" + std::to_string(dice.between(1, ordering_keys));
        r.ordering = core::ordering_hash(*r.ordering_key);
      }
      r.key = keys.key({}, std::to_string(r.number));
      r.digest = static_cast<std::int64_t>(r.number);
      if (offset > 0 && dice.chance(profile.duplicates)) {  // of another partition too
        const auto& other = scenario.log[static_cast<std::size_t>(dice.between(dice.chance(0.8) ? static_cast<std::int64_t>(first) : 0, static_cast<std::int64_t>(r.number) - 1))];
        r.key = other.key;
        r.digest = dice.chance(profile.conflicts) ? r.digest : other.digest;
        if (dice.chance(0.7) && other.partition == partition) {
          r.ordering_key = other.ordering_key;
          r.ordering = other.ordering;
        }
      }
      if (dice.chance(0.3)) produced += dice.time(0, 1) * period.count();
      r.produced = at(produced);
      r.script = script_of(dice, profile);
      scenario.log.push_back(std::move(r));
    }
  }
}

void add_faults(Scenario& scenario, Dice& dice, const Profile& profile) {
  const auto some = [&](Fault::Kind kind, int most) {
    for (auto n = dice.between(0, most); n > 0; --n) scenario.faults.push_back({kind, at(dice.time(1, dice.chance(0.5) ? 1000 : 10'000)), dice.time(50, 3000)});
  };
  some(Fault::Kind::crash, profile.crashes);
  some(Fault::Kind::freeze, profile.freezes);
  some(Fault::Kind::rebalance, profile.moves);
  some(Fault::Kind::leave, profile.moves);
  some(Fault::Kind::retry_now, profile.orders);
  some(Fault::Kind::dead_letter, profile.orders);
  some(Fault::Kind::discard, profile.orders);
  for (auto n = dice.between(0, profile.outages); n > 0; --n) {
    const auto from = dice.time(0, 6000);
    scenario.outages.push_back({static_cast<int>(dice.between(0, 1)), at(from), at(from + dice.time(100, 8000))});
  }
}

}  // namespace

Scenario scenario_of(std::uint64_t seed) {
  Dice dice(seed);
  Scenario scenario;
  scenario.seed = seed;
  auto profile = profile_of(dice);
  scenario.settings = settings_of(dice, profile);
  add_records(scenario, dice, profile);
  add_faults(scenario, dice, profile);
  return scenario;
}

std::string text(Time time) { return std::to_string(std::chrono::duration_cast<milliseconds>(time.time_since_epoch()).count()) + " ms"; }
std::string text(const LogRecord& record) { return "p" + std::to_string(record.partition) + "/o" + std::to_string(record.offset); }

}  // namespace deja::simulation
