"""What the fault tests share: deja-probe over topics of its own, the check that every case ends with (U), and a runner that has several
cases under way at one time, for most of a fault is waiting. Every case has its own database, topics and group.
"""

import concurrent.futures
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import unittest

import fault_oracle as oracle
import progress
import record_order
from payments_oracle import Findings
from postgres_session import Database
from programs import free_port, scrape, wait_until  # noqa: F401 - also for the tests
from sandbox import ROOT, Sandbox

KEY = "Idempotency-Key"
LONG = os.environ.get("DEJA_FAULTS_LONG") == "1"
SEED = int(os.environ.get("DEJA_TEST_SEED") or random.randrange(1_000_000))
_alive, _alive_lock = set(), threading.Lock()


def script(identity, do="ok", seq=0):
    return json.dumps({"id": identity, "seq": seq, "do": do}).encode()


def record(identity, do="ok", seq=0, key=b"k", idempotency=None):
    return key, script(identity, do, seq), [(KEY, (idempotency or identity).encode())]


def cpu_seconds(program):
    with open(f"/proc/{program.process.pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(program):
    with open(f"/proc/{program.process.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def longer(test):
    """Also runs, with more of it, under the label `long`."""
    test.is_longer = True
    return test


class FaultTest(Sandbox):
    program = "deja-probe"
    partitions = 2

    def setUp(self):
        super().setUp()
        self.count = 0
        self.records = self.topic("in", self.partitions)
        self.events = self.topic("out", self.partitions)
        self.prepare("--config", self.write_settings("init.toml", self.probe_settings()))
        self.database.run(record_order.COLUMNS)
        self.attempts = 5
        with _alive_lock:
            _alive.add(self)
        self.addCleanup(self._ended)

    def _ended(self):
        with _alive_lock:
            _alive.discard(self)

    def probe_settings(self, more=None):
        return self.settings({
            "app.topics": [self.records], "app.events.topic": self.events, "retry.backoff.base.ms": 50, "retry.backoff.max.ms": 500, "retry.budget.ratio": 1.0,
            # A member that dies is missed after the shortest time that brokers allow.
            "kafka.consumer.session.timeout.ms": 6000, "kafka.consumer.heartbeat.interval.ms": 300} | (more or {}))

    def start(self, more=None, name=None, log=None, topics=None, port=None):
        """`port`: of a second member; the first has self.port."""
        settings = self.probe_settings(more)
        self.attempts = settings.get("retry.max.attempts", 5)
        if topics:
            settings["app.topics"] = topics
        if port:
            settings["http.address"] = f"127.0.0.1:{port}"
        return super().start(settings, name=name, log=log)

    def send(self, count, do="ok", keys=20, topic=None, partition=None, prefix="r"):
        """New records, each with an idempotency key of its own, spread over `keys` record keys."""
        first, self.count = self.count, self.count + count
        records = [record(f"{prefix}{n}", do(n) if callable(do) else do, n, f"k{n % keys}".encode()) for n in range(first, first + count)]
        if partition is None:
            self.produce(topic or self.records, records)
        else:
            for at in range(0, count, 500):
                self.cluster.produce(topic or self.records, partition, records[at:at + 500])

    # --- what is seen from outside

    def next_offsets(self, topic=None):
        return {p: lane["next_offset"] for (t, p), lane in progress.lanes(self.database, self.group).items() if t == (topic or self.records)}

    def consumed(self):
        return sum(self.next_offsets().values())

    def effects(self):
        return self.database.value("select count(*) from probe_effects")

    def assert_no_half_batch(self):
        """In one look: what a program sent right before its death, Postgres may do a moment later."""
        rows = self.database.rows("select (select count(*) from probe_effects) as effects, (select coalesce(sum(next_offset), 0)::bigint "
                                  f"from deja.lanes where group_id = '{self.group}') as consumed")
        self.assertEqual(rows[0]["effects"], rows[0]["consumed"], "effects and progress are one thing")

    def letters(self):
        return self.database.value(f"select count(*) from deja.dead_letters where group_id = '{self.group}'")

    def await_effects(self, count, *programs, seconds=60):
        wait_until(lambda: self.effects() >= count, seconds, f"{count} effects", *programs)

    def await_consumed(self, more_than, *programs, seconds=60):
        wait_until(lambda: self.consumed() > more_than, seconds, f"more than {more_than} records consumed", *programs, every=0.02)

    def await_log(self, program, words, seconds=60):
        wait_until(lambda: words in program.log_text(), seconds, f"{words!r} in the log", program)

    def await_metric(self, name, at_least, *programs, port=None, seconds=60, **labels):
        def found():
            try:
                return scrape(port or self.port).sum(name, **labels) >= at_least
            except OSError:
                return False
        wait_until(found, seconds, f"{name}{labels} of at least {at_least}", *programs)

    SESSIONS = ("from pg_stat_activity a where datname = current_database() and pid <> pg_backend_pid() "
                "and backend_type = 'client backend' and application_name <> 'psql'")

    def in_batch(self):
        """The processes of the sessions that stand in a batch behind its claim of keys: in its handlers, or waiting for a lock there.
        The supervisor, the relay and those who take lanes over have transactions too, but none of them claims keys."""
        rows = self.database.rows(f"select pid {self.SESSIONS} and (state = 'idle in transaction' or wait_event_type = 'Lock' or query ilike '%pg_sleep%') "
                                  "and exists (select from pg_locks k where k.pid = a.pid and k.granted and k.mode = 'RowExclusiveLock' "
                                  "and k.locktype = 'relation' and k.relation = to_regclass('deja.keys_1'))")
        return [row["pid"] for row in rows]

    def await_in_batch(self, *programs, seconds=60):
        return wait_until(self.in_batch, seconds, "a batch under way", *programs, every=0.01)

    def await_still(self):
        """Until no session is in the middle of a statement: for a program that is stopped."""
        wait_until(lambda: self.database.value(f"select count(*) {self.SESSIONS} and state = 'active'") == 0, 60, "the sessions to be still")

    def in_transaction(self):
        return self.database.value(f"select count(*) {self.SESSIONS} and xact_start is not null")

    def gate(self):
        """Holds up each record that does `unavailable` until the session that is returned is closed, or says `rollback`."""
        gate = Database(self.postgres_url)
        self.addCleanup(gate.close)
        gate.run("begin; lock table probe_switches in access exclusive mode")
        return gate

    def end_backends(self):
        return self.database.value("select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database() "
                                   "and pid <> pg_backend_pid() and backend_type = 'client backend' and application_name <> 'psql'")

    # --- U

    def check(self, *topics, letters=None, orphans_allowed=False):
        """Returns (outcomes, effects, repeated events). `letters`: how many dead letters there must be, 0 by default."""
        findings = Findings()
        log = [each for topic in topics or [self.records] for each in self.cluster.read(topic)]
        outcomes, effects = oracle.check_dispositions(log, self.database, findings, self.group, self.attempts)
        repeats = oracle.check_events(self.cluster.read(self.events), log, effects, findings, orphans_allowed)
        self.assert_clean(findings)
        if letters is None:
            self.assertEqual(self.letters(), 0, "nothing may be a dead letter here")
        else:
            self.assertEqual(self.letters(), letters)
        return outcomes, effects, repeats

    def finish(self, *programs, topics=None, **options):
        """Waits for the end of all there is, drains the programs, then checks U."""
        self.await_done(topics or [self.records], *programs)
        for program in programs:
            self.drain(program)
        return self.check(*(topics or []), **options)


class Stack:
    """A Kafka and a Postgres for tests that take them down: of this file alone."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="deja-faults.", dir="/tmp")
        os.chmod(self.folder, 0o711)  # the user postgres passes through when root runs this
        self.dir = os.path.join(self.folder, "stack")

    def __enter__(self):
        for line in self.run("up").splitlines():
            name, _, value = line.removeprefix("export ").partition("=")
            os.environ[name] = value
        return self

    def __exit__(self, *_):
        self.run("down")
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, *words):
        done = subprocess.run([os.path.join(ROOT, "scripts", "stack"), *words, "--dir", self.dir], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=180)
        if done.returncode:
            raise AssertionError(f"scripts/stack {' '.join(words)}: {done.stderr.decode(errors='replace')}")
        return done.stdout.decode()


# --- the runner

class _Result(unittest.TestResult):
    pass


def _cases(suite):
    for each in suite:
        if isinstance(each, unittest.TestSuite):
            yield from _cases(each)
        else:
            yield each


def _run(case):
    result, begun = _Result(), time.monotonic()
    try:
        case.run(result)
    except BaseException:  # noqa: B036
        result.errors.append((case, traceback.format_exc()))
    troubles = [text for _, text in result.errors + result.failures]
    state = "FAILED" if troubles else f"skipped: {result.skipped[0][1]}" if result.skipped else "ok"
    print(f"{case.id().removeprefix('__main__.')} ... {state} ({time.monotonic() - begun:.1f} s)", flush=True)
    for text in troubles:
        print(text, file=sys.stderr, flush=True)
    return not troubles


def _end_now(*_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one in here would wait for the first for ever
    for case in list(_alive):
        for program in case.running:
            program.kill()
    if _stack:
        _stack.__exit__()
    os._exit(143)


_stack = None


def main(workers=3, own_servers=False, words=None):
    """Runs the cases of the file, `workers` at one time; words choose those whose name has one of them. `words`: of a file that has a command
    line, and seeds, of its own."""
    global _stack
    # Tests that ctest ends must not leave their programs behind.
    signal.signal(signal.SIGTERM, _end_now)
    cases = list(_cases(unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])))
    asked = sys.argv[1:] if words is None else words
    if asked:
        cases = [case for case in cases if any(word in case.id() for word in asked)]
    if LONG:
        cases = [case for case in cases if getattr(getattr(case, case._testMethodName), "is_longer", False)]
    if not cases:
        sys.exit("no such case")
    if words is None:
        print(f"seed {SEED} (DEJA_TEST_SEED={SEED} repeats it)", flush=True)
    if own_servers:
        _stack = Stack()
    try:
        if _stack:
            _stack.__enter__()
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            good = list(pool.map(_run, cases))
    finally:
        if _stack:
            _stack.__exit__()
            _stack = None
    sys.exit(0 if all(good) else 1)


def servers():
    return _stack

