#!/usr/bin/env python3
"""Every failpoint, at its first, second and last hit, times kill, throw, delay and stop; after each the promise, looked at from outside.

usage: driver.py [--seed N] [--jobs N] [--only POINT:HIT:ACTION[,...]] [--action ACTION] [--quick] [--list]

  POINT   a name from docs/failpoints.md
  HIT     first, second, last, or a number
  ACTION  kill    SIGKILL of itself; the next process goes on
          throw   what a lost link to Postgres, or a handler, throws there
          delay   a second and a half
          stop    SIGSTOP; another process takes over and works everything off, then the first one goes on

The list of cases comes from the table of steps and from runs that record how often each step is reached: a step that no run reaches,
and that UNREACHED does not name, is an error. Several cases share a run; when the promise breaks, each of them is tried alone. How often
a step is reached depends on timing: a hit that several runs do not come to is told of, and one case in a hundred may be such a one.

Needs $DEJA_KAFKA and $DEJA_POSTGRES, and in $DEJA_BIN programs of a build with DEJA_FAILPOINTS.
"""

import argparse
import os
import queue
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter, defaultdict, namedtuple
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), os.pardir, "support"))

from kafka_wire import KafkaError  # noqa: E402
from postgres_session import SqlError  # noqa: E402
from programs import wait_until  # noqa: E402
from scenarios import BY_NAME, SCENARIOS  # noqa: E402
from table import INDEX, STEPS  # noqa: E402
from world import Broken, PATIENCE, Server, World  # noqa: E402

ACTIONS = ("kill", "throw", "delay", "stop")
HITS = ("first", "second", "last")
DELAY_MS = 1500
TOGETHER = {"kill": 6, "throw": 5, "delay": 6, "stop": 4}  # cases in one world
TRIES = 6
RECORDINGS = 3

# Steps that no scenario here reaches, and why.
UNREACHED = {
    "after-pause": "40,000 queued records",
    "after-resume": "40,000 queued records",
    "after-log-lost": "a log whose wanted offset was deleted: the partition stops, which ends the run",
    "after-loss-look": "as after-log-lost",
    "after-leave": "Postgres away for longer than the group is kept",
    "after-join-again": "as after-leave",
    "after-idle-holder-ended": "an owner before that stands idle in its transaction: only a stopped one, which no recording has",
}

Case = namedtuple("Case", "point hit action number scenario")


def told(case):
    return f"{case.point}:{case.hit}:{case.action}"


def arm_of(case):
    return f"{case.point}={case.action}{f':{DELAY_MS}' if case.action == 'delay' else ''}@{case.number}"


# --- one case after another in one world

def finish_second(world):
    second, world.second = world.second, None
    if second:
        how = world.watch(second)
        if how != "ended with 0":
            raise Broken(f"the second member {how}\n{second.log_end()}")


def first_run(world):
    """Makes the lanes' rows; no part of a case."""
    world.produce()
    program = world.start()
    how = world.watch(program)
    if how != "ended with 0":
        raise Broken(f"a first run {how}\n{program.log_end()}")


def run_kill(world, case):
    program = BY_NAME[case.scenario].begin(world, [arm_of(case)])
    how = world.watch(program, BY_NAME[case.scenario].ready(world, program))
    finish_second(world)
    if how not in ("killed", "ended with 0"):
        raise Broken(f"{program.name} {how}\n{program.log_end()}")
    return program


def run_stop(world, case):
    scenario = BY_NAME[case.scenario]
    program = scenario.begin(world, [arm_of(case)])
    how = world.watch(program, scenario.ready(world, program))
    if how == "stopped":
        theirs = world.backends()
        successor = world.second or world.start([], scenario.instance)
        world.second = None

        def taken_over():
            if not world.left():
                return True
            world.end_transactions(theirs)
            return not successor.alive()
        wait_until(taken_over, PATIENCE, "another process to work everything off", every=0.1)
        program.signal(signal.SIGCONT)
        if scenario.instance:
            # Kafka lets one of the two be the member: the zombie, or, when it had not joined yet, the successor.
            wait_until(lambda: not program.alive() or not successor.alive() or program.report.hits()["after-fetch-begun"], 20,
                       "one of the two members to be fenced")
        # before it is in main() nobody can answer a signal
        wait_until(lambda: successor.report.hits()["after-subscribe"] or not successor.alive(), PATIENCE, "the successor to start")
        for each in (program, successor):
            if not each.asked:  # a second request would cut the drain short
                each.signal(signal.SIGTERM)
        for each in (program, successor):
            world.expect_exit(each, "ended with 0", "ended with 78")
    elif how != "ended with 0":
        raise Broken(f"{program.name} {how}\n{program.log_end()}")
    finish_second(world)
    return program


def run_together(world, cases):
    """Exceptions and delays: the process survives them, so that several are armed at one time."""
    scenario = BY_NAME[cases[0].scenario]
    program = scenario.begin(world, [arm_of(case) for case in cases])
    how = world.watch(program, scenario.ready(world, program))
    finish_second(world)
    if how != "ended with 0":
        raise Broken(f"{program.name} {how}\n{program.log_end()}")
    return program


def run_group(server, cases):
    """Cases of one action in one world, then the promise. Returns the cases whose hit was not reached, with the hits there were."""
    scenario = BY_NAME[cases[0].scenario]
    world = World(server, **{name: value for case in cases for name, value in BY_NAME[case.scenario].more.items()})
    missed = []
    try:
        if not scenario.fresh:
            first_run(world)
        runs = [[case] for case in cases] if cases[0].action in ("kill", "stop") else [cases]
        for run in runs:
            program = {"kill": run_kill, "stop": run_stop}.get(run[0].action, lambda w, _: run_together(w, run))(world, run[0])
            done, hits = program.report.done(), program.report.hits()
            missed += [(case, hits[case.point]) for case in run if not done[case.point]]
        world.settle()
    except AssertionError as error:  # a wait that was in vain
        raise Broken(str(error) + "".join(f"\n--- {each.name}\n{each.log_end(8)}" for each in world.programs[-2:])) from None
    except (OSError, KafkaError, SqlError):  # a scenario that cannot do what it set out to do
        raise Broken(traceback.format_exc()) from None
    finally:
        world.close()
        shutil.rmtree(world.folder, ignore_errors=True)
    return missed


# --- what there is to do

def record(folder, scenarios):
    """scenario name -> hits of each step in a run without arms."""
    server = Server(folder)
    found = {}
    try:
        for scenario in scenarios:
            world = World(server, **scenario.more)
            try:
                if not scenario.fresh:
                    first_run(world)
                program = scenario.begin(world, [])
                how = world.watch(program, scenario.ready(world, program))
                finish_second(world)
                if how != "ended with 0":
                    raise Broken(f"recording \"{scenario.name}\": {program.name} {how}\n{program.log_end()}")
                world.settle()
                found[scenario.name] = program.report.hits()
            finally:
                world.close()
    finally:
        server.close()
    return found


def record_all(folder, jobs):
    """The most hits of several recordings, since timing may keep a run from a step. Returns them with the cases and the steps without one."""
    recorded = {}
    for _ in range(RECORDINGS):
        with ThreadPoolExecutor(jobs) as pool:
            for part in pool.map(lambda scenarios: record(folder, scenarios), [SCENARIOS[n::jobs] for n in range(jobs)]):
                for name, hits in part.items():
                    before = recorded.get(name, hits)
                    recorded[name] = {step.name: max(before[step.name], hits[step.name]) for step in STEPS}
        cases, unreached = cases_of(recorded)
        wrong = sorted(set(unreached) - set(UNREACHED))
        if not wrong:
            break
        print(f"no recording reached {', '.join(wrong)}", flush=True)
    return recorded, cases, unreached


def cases_of(recorded):
    """Every (point, first, second, last) times what can be done there, each in the scenario that is for the point, else the first that reaches it."""
    cases, unreached = [], []
    for step in STEPS:
        in_turn = sorted(SCENARIOS, key=lambda each: step.name not in each.reaches)
        scenario = next((each.name for each in in_turn if recorded[each.name][step.name]), None)
        if scenario is None:
            unreached.append(step.name)
            continue
        hits = recorded[scenario][step.name]
        numbers = {"first": 1} | ({"second": 2} if hits >= 2 else {}) | ({"last": hits} if hits >= 3 else {})
        for action in ACTIONS:
            if action == "throw" and step.throws == "nothing":
                continue
            cases += [Case(step.name, hit, action, number, scenario) for hit, number in numbers.items()]
    return cases, unreached


def grouped(cases, dice):
    """Cases that can share a world: of one action and scenario; in one process each step once."""
    piles = defaultdict(list)
    for case in cases:
        piles[case.action, case.scenario].append(case)
    groups = []
    for (action, scenario), pile in piles.items():
        dice.shuffle(pile)
        alone = BY_NAME[scenario].fresh and action in ("kill", "stop")
        open_groups = []
        for case in pile:
            fits = None if alone else next((group for group in open_groups if len(group) < TOGETHER[action] and
                                            (action in ("kill", "stop") or case.point not in {each.point for each in group})), None)
            if fits is None:
                open_groups.append([case])
            else:
                fits.append(case)
        groups += open_groups
    groups.sort(key=lambda group: BY_NAME[group[0].scenario].name == "plain")  # the slow ones first
    return groups


def parse_only(text, recorded, cases):
    chosen = []
    known = {(case.point, case.action): case.scenario for case in cases}
    for each in text.split(","):
        try:
            point, hit, action = each.split(":")
            scenario = known[point, action]
        except (ValueError, KeyError):
            raise SystemExit(f"--only {each}: not POINT:HIT:ACTION of the list (--list shows it)") from None
        number = {"first": 1, "second": 2, "last": max(1, recorded[scenario][point])}.get(hit) or int(hit)
        chosen.append(Case(point, hit, action, number, scenario))
    return chosen


class Driver:
    def __init__(self, folder, jobs, repeat, recorded):
        self.folder, self.jobs, self.repeat, self.recorded = folder, jobs, repeat, recorded
        self.failures, self.lock = [], threading.Lock()
        self.fired, self.points, self.not_reached = Counter(), set(), []
        self.scenario_seconds = Counter()

    def work(self, todo):
        server = Server(self.folder)
        try:
            while True:
                try:
                    group, tries = todo.get_nowait()
                except queue.Empty:
                    return
                begun = time.monotonic()
                try:
                    missed = run_group(server, group)
                except Broken as error:
                    self.failed(server, group, str(error))
                    missed = []
                with self.lock:
                    self.fired[group[0].action] += len(group) - len(missed)
                    self.points |= {case.point for case in group} - {case.point for case, _ in missed}
                    self.scenario_seconds[group[0].action, group[0].scenario] += time.monotonic() - begun
                for case, hits in missed:
                    if tries < TRIES:
                        todo.put(([self.within_reach(case, hits)], tries + 1))
                    else:
                        with self.lock:
                            self.not_reached.append(case)
        except Exception:
            with self.lock:
                self.failures.append("the driver itself")
                print(f"BROKEN the driver itself\n{traceback.format_exc()}", flush=True)
        finally:
            server.close()

    def within_reach(self, case, hits):
        """Timing decides how often some steps are reached: then in a run with more time, else at a hit that there was, else in another scenario."""
        if case.scenario == "plain" and self.recorded["quiet"][case.point] >= case.number:
            return case._replace(scenario="quiet")
        if case.number > 1 and hits > 0:
            return case._replace(number=min(case.number - 1, hits))
        reaching = [scenario.name for scenario in SCENARIOS if self.recorded[scenario.name][case.point]]
        turn = reaching.index(case.scenario) + 1 if case.scenario in reaching else 0
        return case._replace(scenario=reaching[turn % len(reaching)], number=1)

    def failed(self, server, group, why):
        if len(group) > 1:
            alone = False
            for case in group:
                try:
                    run_group(server, [case])
                except Broken as error:
                    alone = True
                    self.tell(str(error), case)
            if alone:
                return
        self.tell(why, *group)

    def tell(self, why, *cases):
        names = ",".join(map(told, cases))
        with self.lock:
            self.failures.append(names)
            print(f"BROKEN {names}\n{why}\n  repeat: {self.repeat} --only {names}\n", flush=True)

    def judge_not_reached(self, cases):
        """Too many that were not reached are a fault of the scenarios, and so is a step that nothing was tried at."""
        if self.not_reached:
            print(f"not reached in {TRIES} runs: {', '.join(map(told, self.not_reached))}")
        untried = {case.point for case in self.not_reached} - self.points
        if len(self.not_reached) > len(cases) // 100 or untried:
            self.failures.append(f"{len(self.not_reached)} of {len(cases)} cases not reached; nothing tried at: {', '.join(sorted(untried)) or '-'}")

    def run(self, groups):
        todo = queue.Queue()
        for group in groups:
            todo.put((group, 1))
        threads = [threading.Thread(target=self.work, args=(todo,)) for _ in range(min(self.jobs, len(groups)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.judge_not_reached([case for group in groups for case in group])


def quick_choice(cases, dice):
    """A handful: one of each action at random, and those that found most while this was written."""
    chosen = [case for case in cases if told(case) in ("after-commit-sent:second:kill", "after-commit-sent:first:throw", "after-claim:last:kill")]
    for action in ACTIONS:
        chosen.append(dice.choice([case for case in cases if case.action == action and case.scenario == "plain"]))
    return sorted(set(chosen))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--only")
    parser.add_argument("--action", choices=ACTIONS)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    dice = random.Random(options.seed)
    print(f"seed {options.seed} (--seed {options.seed} repeats the order)", flush=True)
    folder = tempfile.mkdtemp(prefix="deja-failpoints.")
    begun = time.monotonic()
    try:
        recorded, cases, unreached = record_all(folder, options.jobs)
        wrong = sorted(set(unreached) - set(UNREACHED))
        stale = sorted(set(UNREACHED) - set(unreached))
        if options.list:
            for case in cases:
                print(f"{told(case):45} hit {case.number:4}  {case.scenario}")
        if wrong:
            print(f"no run reaches: {', '.join(wrong)}: add a scenario, or name them in UNREACHED and why")
        if stale:
            print(f"UNREACHED names steps that are reached: {', '.join(stale)}")
        chosen = cases
        if options.only:
            chosen = parse_only(options.only, recorded, cases)
        elif options.quick:
            chosen = quick_choice(cases, dice)
        elif options.action:
            chosen = [case for case in cases if case.action == options.action]
        groups = [chosen] if options.only and len({(c.action, c.scenario) for c in chosen}) == 1 else grouped(chosen, dice)
        print(f"{len(recorded)} scenarios recorded in {time.monotonic() - begun:.0f} s; {len(STEPS) - len(unreached)} of {len(STEPS)} steps reached; "
              f"{len(chosen)} of {len(cases)} cases in {len(groups)} runs", flush=True)
        if options.list:
            return 1 if wrong or stale else 0
        driver = Driver(folder, options.jobs, f"{os.path.relpath(__file__)} --seed {options.seed}", recorded)
        driver.run(groups)
        for (action, scenario), seconds in sorted(driver.scenario_seconds.items()):
            print(f"  {action:6} {scenario:24} {seconds:6.0f} s")
        print(f"{sum(driver.fired.values())} cases done ({', '.join(f'{n} {action}' for action, n in sorted(driver.fired.items()))}) "
              f"in {time.monotonic() - begun:.0f} s, {len(driver.failures)} broken")
        for names in driver.failures:
            print(f"  {names}")
        return 1 if driver.failures or wrong or stale else 0
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
