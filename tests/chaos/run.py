"""Random faults on real processes, then the audit. scripts/chaos calls this, with servers of its own and the programs built.

$DEJA_KAFKA, $DEJA_POSTGRES, $DEJA_KAFKA_PROXIES, $DEJA_STACK_DIR: the servers. $DEJA_BIN: the programs.
"""

import argparse
import collections
import heapq
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "support"))

import payments_oracle
import probe_oracle
import progress
import record_order
from faults import FAULTS
from kafka_wire import Cluster, KafkaError
from load import Feeder, Load
from members import COUNTED, Member
from postgres_session import Database, SqlError, url_of_database
from programs import clean_environment
from sandbox import BIN, ROOT

CALM_WITHOUT_PROGRESS_SECONDS, DRAIN_SECONDS = 150, 90
PARTITIONS = {"chaos.one": 4, "chaos.two": 3}


class Run:
    def __init__(self, options):
        self.options, self.folder = options, options.folder
        self.dice = random.Random(options.seed)
        self.kafka, self.postgres = os.environ["DEJA_KAFKA"], os.environ["DEJA_POSTGRES"]
        self.group, self.database_name = "chaos", "chaos"
        self.topics, self.events, self.dead = list(PARTITIONS), "chaos.events", "chaos.dlq"
        self.lanes = self.dice.choice([1, 1, 3])
        self.strategy = self.dice.choice(["range", "cooperative-sticky"])
        self.more_settings = dict(options.set)
        self.counts, self.findings = collections.Counter(), []
        self.pending, self.order = [], itertools.count()
        self.draining, self.leaving, self.since = set(), set(), {}
        self.server_away, self.members, self.extra = None, [], None
        self.begun = time.monotonic()
        self.timeline_lock = threading.Lock()
        self.timeline = open(os.path.join(self.folder, "timeline"), "a", buffering=1)
        url = url_of_database(self.postgres, self.database_name)
        self.environment = clean_environment(DEJA_KAFKA=self.kafka, DEJA_POSTGRES=url)
        self.cluster, self.server, self.database = Cluster(self.kafka, timeout=20), Database(self.postgres), Database(url)

    # --- What faults use

    def tell(self, what, detail=""):
        with self.timeline_lock:
            print(f"{time.monotonic() - self.begun:8.2f}  {time.strftime('%H:%M:%S')}  {what:<20} {detail}", file=self.timeline)

    def later(self, seconds, what, act):
        heapq.heappush(self.pending, (time.monotonic() + seconds, next(self.order), what, act))

    def start(self, member):
        if not member.running():
            member.start()
            self.tell("started", member.name)

    def sql(self, statement):
        for _ in range(2):  # the first session may have died with its server since the last time
            try:
                return self.server.value(statement)
            except SqlError as error:
                self.tell("refused", str(error).splitlines()[-1])
        return None

    def stack(self, *words):
        done = subprocess.run([os.path.join(ROOT, "scripts", "stack"), *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              start_new_session=True, check=False)
        if done.returncode:
            self.findings.append(f"scripts/stack {' '.join(words)} ended with {done.returncode}: {done.stdout.decode(errors='replace')[-500:]}")

    def server_fault(self, server, how, pause):
        def act():
            self.stack(how, server)
            time.sleep(pause)
            self.stack("start", server)
            self.tell("back", server)
        self.server_away = threading.Thread(target=act, daemon=True)
        self.server_away.start()

    # --- The run

    def prepare(self):
        self.server.run("create database chaos")
        for name, partitions in PARTITIONS.items():
            self.cluster.create_topic(name, partitions)
        self.cluster.create_topic(self.events, 3)
        self.cluster.create_topic(self.dead, 1)
        self.program("deja", "migrate")
        self.program("deja-probe", "--init")
        self.database.run(record_order.COLUMNS)
        pairs = os.environ["DEJA_KAFKA_PROXIES"].split()
        everyone = [Member(number, self, pairs[number], random.Random(f"{self.options.seed}/{number}")) for number in range(self.options.processes + 1)]
        self.members, self.extra = everyone[:-1], everyone[-1]

    def program(self, name, *words):
        done = subprocess.run([os.path.join(BIN, name), *words], env=self.environment, cwd=self.folder, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False)
        if done.returncode:
            raise RuntimeError(f"{name} {' '.join(words)} ended with {done.returncode}:\n{done.stdout.decode(errors='replace')}")
        return done.stdout.decode(errors="replace")

    def serve(self):
        """What is due, and what became of the members."""
        while self.pending and self.pending[0][0] <= time.monotonic():
            _, _, what, act = heapq.heappop(self.pending)
            self.tell("later", what)
            act()
        if self.server_away and not self.server_away.is_alive():
            self.server_away = None
        for member in list(self.members):
            if member in self.draining or member in self.leaving:
                self.since.setdefault(member, time.monotonic())
                if member.running() and time.monotonic() - self.since[member] > DRAIN_SECONDS and not member.stopped:
                    self.findings.append(f"{member.name} did not end within {DRAIN_SECONDS} s of SIGTERM")
                    member.kill()
            code = member.exited()
            if code is None:
                if not member.program:
                    self._forget(member)  # killed
                continue
            self.tell("ended", f"{member.name} with {code}")
            # 0 after a drain; 143 after a second SIGTERM; SIGTERM itself where it came before the program had a handler for it
            right = [0, -signal.SIGTERM] if member.asked == 1 else [0, -signal.SIGTERM, 128 + signal.SIGTERM] if member.asked else []
            leaving = member in self.leaving
            self._forget(member)
            if code == 69:
                self.counts["starts that found no server"] += 1
            elif code == 78 and "FENCED_INSTANCE_ID" in member_log_end(member):
                # A join whose reply was lost, or one of a killed process that a frozen link held back: the coordinator sees two members.
                self.counts["members that Kafka took for two"] += 1
            elif code not in right:
                self.findings.append(f"{member.name} ended by itself with {code}: {member_log_end(member)}")
            if leaving:
                self.members.remove(member)
            else:
                self.start(member)

    def _forget(self, member):
        for each in (self.draining, self.leaving):
            each.discard(member)
        self.since.pop(member, None)

    def over(self):
        if self.options.kills:
            return self.counts["kills"] >= self.options.kills and (not self.options.records or self.feeder.sent >= self.options.records)
        return time.monotonic() - self.begun > self.options.minutes * 60

    def storm(self):
        names = self.options.faults
        weights = [FAULTS[name][0] for name in names]
        next_fault, next_look = time.monotonic() + 3, 0.0
        while not self.over() and len(self.findings) < 3:
            self.serve()
            now = time.monotonic()
            if now >= next_look:
                next_look = now + 2
                for member in self.members:
                    member.look()
            if now >= next_fault and not (self.options.kills and self.counts["kills"] >= self.options.kills):
                (name,) = self.dice.choices(names, weights)
                told = FAULTS[name][1](self, self.dice)
                if told is not None:
                    self.tell(name, told)
                    self.counts["faults"] += 1
                next_fault = time.monotonic() + self.dice.expovariate(1 / self.options.pause)
            time.sleep(0.05)

    def calm(self):
        """No fault any more; everything that was begun ends, everything sent is done."""
        self.tell("calm")
        if self.server_away:
            self.server_away.join()
        for _, _, what, act in sorted(self.pending, key=lambda each: each[:2]):
            self.tell("later", what)
            act()
        self.pending.clear()
        for member in self.members + [self.extra]:
            member.kafka.heal()
            member.postgres.heal()
            member.thaw()
        self.stack("start")
        self.cluster.close()
        if not self.options.records or self.findings:
            self.feeder.stopping.set()
        self.feeder.finish()
        self.tell("all sent")
        best, since, told = None, time.monotonic(), 0.0
        while True:
            self.serve()
            for member in self.members:
                if not member.running() and member is not self.extra:
                    self.start(member)
            left = self.left()
            if left == (0, 0, 0):
                break
            if left is not None and time.monotonic() - told > 5:
                told = time.monotonic()
                self.tell("left", f"{left[0]} records, {left[1]} events, {left[2]} parked")
            if left is not None and left != best:
                best, since = left, time.monotonic()
            if time.monotonic() - since > CALM_WITHOUT_PROGRESS_SECONDS:
                self.findings.append(f"no progress for {CALM_WITHOUT_PROGRESS_SECONDS} s in the calm: {best[0] if best else '?'} records unread, "
                                     f"{best[1] if best else '?'} events unpublished, {best[2] if best else '?'} records parked")
                for member in self.members:
                    self.findings.append(f"{member.name}: {member.status()}")
                return
            time.sleep(0.3)
        self.tell("all done")

    def left(self):
        try:
            return (progress.unread(self.cluster, self.database, self.group, self.topics), progress.unpublished(self.database, self.group),
                    progress.parked(self.database, self.group))
        except (SqlError, OSError, KafkaError):
            self.cluster.close()
            return None

    def end_members(self):
        for member in self.members:
            if not member.running():
                continue
            member.look()
            try:
                code = member.terminate(DRAIN_SECONDS)
            except AssertionError as error:
                self.findings.append(str(error))
                continue
            if code:
                self.findings.append(f"{member.name} ended with {code} at the end: {member_log_end(member)}")

    def audit(self):
        findings = payments_oracle.Findings()
        log = [record for topic in self.topics for record in self.cluster.read(topic)]
        outcomes, effects, dead, scripts = probe_oracle.check_effects(log, self.database, self.group, findings)
        repeats = probe_oracle.check_events(self.cluster.read(self.events), effects, scripts, findings)
        payments_oracle.check_dead_letter_events(self.cluster.read(self.dead), dead, findings, self.group)
        self.findings += findings
        return len(log), outcomes, len(effects), len(dead), repeats

    def own_audit(self):
        """`deja audit`, where this version has it."""
        def deja(*words):
            return subprocess.run([os.path.join(BIN, "deja"), *words], env=self.environment, cwd=self.folder, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600, check=False)
        if "no command" in deja("audit", "--count").stdout.decode(errors="replace"):
            return "not in this version"
        done = deja("audit", "--group", self.group)
        if done.returncode:
            self.findings.append(f"deja audit ended with {done.returncode}:\n{done.stdout.decode(errors='replace')[-3000:]}")
        return f"exit {done.returncode}"

    def close(self):
        for member in {*self.members, self.extra} - {None}:
            member.close()
        self.cluster.close()
        self.database.close()
        self.server.close()
        self.timeline.close()


def member_log_end(member):
    with open(os.path.join(member.run.folder, f"{member.name}.log"), errors="replace") as file:
        return "\n".join(file.read().splitlines()[-4:])


def chaos(options):
    run = Run(options)
    print(f"chaos: seed {options.seed}, {options.processes} processes, {run.strategy}, lanes per partition: {run.lanes}; timeline in {run.folder}/timeline", flush=True)
    try:
        run.prepare()
        load = Load(options.seed, run.topics)
        for member in run.members:
            run.start(member)
        run.begun = time.monotonic()
        run.feeder = Feeder(run.kafka, load, options.records_per_second, options.records)
        if options.kills and options.records:
            # so that records and kills end together
            run.feeder.wanted = lambda: int(options.records * min(1.0, (run.counts["kills"] + 1) / options.kills))
        run.feeder.start()
        run.storm()
        stormed = time.monotonic() - run.begun
        run.calm()
        calmed = time.monotonic() - run.begun - stormed
        run.end_members()
        records, outcomes, effects, dead, repeats = run.audit()
        audited = run.own_audit()
        summary(run, {"seconds of faults": round(stormed), "seconds until all was done": round(calmed), "records in the log": records,
                      "effects": effects, "dead letters": dead, "events that came again under their id": repeats}, outcomes, audited)
    finally:
        run.close()
    if run.findings:
        print(f"\nchaos: seed {options.seed} FAILED; timeline and logs are in {run.folder}")
        for finding in run.findings[:40]:
            print(f"  {finding}")
        with open(os.path.join(run.folder, "findings"), "w") as file:
            file.write("\n".join(run.findings) + "\n")
        return 1
    print(f"chaos: seed {options.seed} clean: nothing lost, nothing doubled, nothing out of order")
    return 0


def summary(run, first, outcomes, audited):
    table = dict(first)
    table |= {f"records {name}": count for name, count in sorted(outcomes.items(), key=str)}
    table |= {name: count for name, count in sorted(run.counts.items())}
    members = {*run.members, run.extra}
    table |= {"starts of processes": sum(member.starts for member in members),
              "commits cut": sum(member.postgres.count("commit-cut") for member in members)}
    # as far as they were read: what a killed process counted in its last seconds is not in it
    table |= {f"{name} (at least)": sum(member.totals[name] for member in members) for name in COUNTED}
    table["deja audit"] = audited
    width = max(map(len, table))
    print("\n".join(f"  {name:<{width}}  {value}" for name, value in table.items()), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--records-per-second", type=float, default=200)
    parser.add_argument("--records", type=int)
    parser.add_argument("--kills", type=int)
    parser.add_argument("--pause", type=float, default=1.5)
    parser.add_argument("--faults", type=lambda text: text.split(","))
    parser.add_argument("--set", action="append", default=[], type=lambda text: tuple(text.split("=", 1)))
    parser.add_argument("--folder", required=True)
    options = parser.parse_args()
    options.set = [(key, json.loads(value) if value[:1] in "0123456789[" or value in ("true", "false") else value) for key, value in options.set]
    if not options.faults:
        options.faults = ["kill"] if options.kills else sorted(FAULTS)
    unknown = [name for name in options.faults if name not in FAULTS]
    if unknown:
        print(f"chaos: no such fault: {', '.join(unknown)} (known: {', '.join(sorted(FAULTS))})", file=sys.stderr)
        return 64
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return chaos(options)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
