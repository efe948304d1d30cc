"""A group of deja-probe on topics of its own, and the records that exercise every step of the protocol."""

import json
import os
import signal
import time
import uuid

import failpoint_oracle
import record_order
from kafka_admin import TransactionalProducer
from kafka_wire import Cluster
from postgres_session import Database, url_of_database
from programs import Program, TimedOut, clean_environment
from sandbox import BIN, toml
from table import Report

KEY = "Idempotency-Key"
INJECTED = "the failpoint "  # in the error of every exception that a failpoint throws
PARTITIONS = 2
PATIENCE = 90  # seconds that any single wait may take; only a hang comes near


class Broken(Exception):
    """The promise does not hold, or a process hangs."""


class Server:
    """A database of its own on the server of $DEJA_POSTGRES, and a connection to the broker of $DEJA_KAFKA. One thread's own."""

    def __init__(self, folder):
        self.folder = folder
        self.cluster = Cluster(os.environ["DEJA_KAFKA"])
        self.server = Database(os.environ["DEJA_POSTGRES"])
        self.name = f"failpoints_{uuid.uuid4().hex[:10]}"
        self.server.run(f"create database {self.name}")
        self.url = url_of_database(os.environ["DEJA_POSTGRES"], self.name)
        self.database = Database(self.url)
        # Leaks are looked for elsewhere; here a process ends many hundred times.
        options = ":".join(filter(None, [os.environ.get("ASAN_OPTIONS"), "detect_leaks=0"]))
        self.environment = clean_environment(DEJA_KAFKA=os.environ["DEJA_KAFKA"], DEJA_POSTGRES=self.url, ASAN_OPTIONS=options)
        for program, word in (("deja", "migrate"), ("deja-probe", "--init")):
            once = Program(program, [os.path.join(BIN, program), word], self.environment, os.path.join(folder, "prepare.log"), folder)
            if once.process.wait(PATIENCE) != 0:
                raise Broken(f"{program} {word}: {once.log_end()}")
        self.database.run(record_order.COLUMNS)

    def close(self):
        self.database.close()
        self.server.run(f"drop database if exists {self.name} with (force)")
        self.server.close()
        self.cluster.close()


class Armed(Program):
    """A process with failpoints armed, and its report."""

    def __init__(self, world, arms, instance):
        self.arms = list(arms)
        self.asked = False  # to end
        tag = uuid.uuid4().hex[:8]
        self.report = Report(os.path.join(world.folder, f"{tag}.hits"))
        config = os.path.join(world.folder, f"{tag}.toml")
        settings = world.settings | ({"kafka.consumer.group.instance.id": instance} if instance else {})
        with open(config, "w") as file:
            file.writelines(f"{key} = {toml(value)}\n" for key, value in settings.items())
        environment = world.server.environment | {"DEJA_FAILPOINTS": ",".join(self.arms), "DEJA_FAILPOINTS_REPORT": self.report.path}
        super().__init__(f"deja-probe [{','.join(self.arms)}]", [os.path.join(BIN, "deja-probe"), "--config", config], environment,
                         os.path.join(world.folder, f"{tag}.log"), world.folder)

    def stopped(self):
        try:
            with open(f"/proc/{self.process.pid}/stat") as file:
                return file.read().rpartition(")")[2].split()[0] == "T"
        except OSError:
            return False

    def fired(self):
        """Every arm was reached (true, too, when there is none)."""
        done = self.report.done()
        return all(done[arm.partition("=")[0]] for arm in self.arms)


class World:
    def __init__(self, server, **more):
        self.server, self.database, self.cluster = server, server.database, server.cluster
        tag = uuid.uuid4().hex[:10]
        self.folder = os.path.join(server.folder, tag)
        os.mkdir(self.folder)
        self.group = f"failpoints-{tag}"
        self.topic, self.events, self.dead = (f"{word}-{tag}" for word in ("probe", "probe.events", "probe.dlq"))
        for topic, partitions in ((self.topic, PARTITIONS), (self.events, 2), (self.dead, 1)):
            self.cluster.create_topic(topic, partitions)
        self.settings = {
            "group.id": self.group, "http.address": "off", "app.topics": [self.topic], "app.events.topic": self.events, "dlq.topic": self.dead,
            "batch.max.records": 6, "retry.max.attempts": 1, "retry.backoff.base.ms": 1, "retry.backoff.max.ms": 50, "crash.max.starts": 100,
            "flood.ratio": 1.0, "retry.budget.ratio": 1.0, "breaker.open.ms": 200, "log.level": os.environ.get("DEJA_TEST_LOG_LEVEL", "info"), "drain.timeout.ms": 15000, "kafka.consumer.session.timeout.ms": 6000,
            "kafka.consumer.heartbeat.interval.ms": 500, "kafka.consumer.fetch.wait.max.ms": 50, "kafka.producer.linger.ms": 0} | more
        self.ends = [0] * PARTITIONS
        self.sets = 0
        self.markers = 0  # offsets that hold no record
        self.programs = []
        self.second = None  # the other member, where a scenario has one

    def close(self):
        for program in self.programs:
            program.kill()

    def start(self, arms=(), instance="one"):
        program = Armed(self, arms, instance and f"{instance}-{self.group}")
        self.programs.append(program)
        return program

    # --- records

    def produce(self):
        """One set: every disposition, a failure with and one without statements, keys that are free again, several batches."""
        n = self.sets
        self.sets += 1
        for partition in range(PARTITIONS):
            name = f"{n}.{partition}"

            def record(number, do="ok", key="a", idempotency=None, payload=None, name=name):
                value = {"id": f"{name}.{number if payload is None else payload}", "seq": number if payload is None else payload, "do": do}
                headers = [] if idempotency == "" else [(KEY, f"{name}.{number if idempotency is None else idempotency}".encode())]
                return f"{key}{name[-1]}".encode(), json.dumps(value).encode(), headers

            records = [
                record(0), record(1, "emit:3"), record(2, "throw", "b"), record(3, "ok", "b", idempotency=2),
                record(0, idempotency=0, payload=0), record(5, "ok", idempotency=0),
                record(6, "slow-sql:1"), record(7, "sql-error", "c"), record(8, "ok", "c", idempotency=7), record(9, "reject", "b"),
                record(10, idempotency=""), record(1, "emit:3", payload=1),
                (f"t{partition}".encode(), json.dumps({"id": f"{n}.twin", "seq": 0, "do": "ok"}).encode(), [(KEY, f"{n}.twin".encode())]),
                record(13, "swallow-sql-error", "d"), record(14, "slow-sql:1", "d"), record(15),
            ]
            first = self.cluster.produce(self.topic, partition, records)
            self.ends[partition] = first + len(records)

    def produce_doing(self, *doings, key=lambda number: b"s"):
        """One record each, in partition 0."""
        n = self.sets
        self.sets += 1
        records = [(key(number), json.dumps({"id": f"{n}.s{number}", "seq": number, "do": do}).encode(), [(KEY, f"{n}.s{number}".encode())])
                   for number, do in enumerate(doings)]
        self.ends[0] = self.cluster.produce(self.topic, 0, records) + len(records)

    def replay(self, *options, **columns):
        """Of the dead letters that have these columns, as an operator would."""
        chosen = " and ".join(f"{name}={value}" for name, value in columns.items())
        once = Program("deja", [os.path.join(BIN, "deja"), "dlq", "replay", "--filter", chosen, "--group", self.group, "--reason", "a test", "--yes", *options],
                       self.server.environment, os.path.join(self.folder, "replay.log"), self.folder)
        if once.process.wait(PATIENCE) != 0:
            raise Broken(f"replay: {once.log_end()}")

    def make_due(self):
        self.database.run(f"begin; update deja.lanes set parked_version = parked_version + 1 where group_id = '{self.group}'; "
                          f"update deja.parked set next_at = clock_timestamp() where group_id = '{self.group}' and next_at is not null; commit")

    def followers(self):
        return self.database.value(f"select count(*) from deja.parked where group_id = '{self.group}' and next_at is null")

    def change_as_operators_do(self):
        """What every command that changes parked records does to their lanes."""
        self.database.run(f"update deja.lanes set parked_version = parked_version + 1 where group_id = '{self.group}'")

    def produce_in_transaction(self):
        """One record in each partition, and after it the transaction's marker: the last offset of the log holds no record."""
        n = self.sets
        self.sets += 1
        producer = TransactionalProducer(self.cluster, f"outside-{self.group}-{n}")
        for partition in range(PARTITIONS):
            value = {"id": f"{n}.t{partition}", "seq": 0, "do": "ok"}
            producer.produce(self.topic, partition, [(b"t", json.dumps(value).encode(), [(KEY, value["id"].encode())])])
        producer.end(commit=True)
        for partition in range(PARTITIONS):
            self.ends[partition] += 2
            self.markers += 1

    def left(self):
        """Records that are not consumed, those that are parked, events that are set aside, and replays that have not ended."""
        rows = self.database.rows(f"select partition, next_offset, (select count(*) from deja.parked p where p.group_id = l.group_id and p.partition = l.partition) as parked "
                                  f"from deja.lanes l where group_id = '{self.group}'")
        found, parked = {row["partition"]: row["next_offset"] for row in rows}, sum(row["parked"] for row in rows)
        replays = self.database.value(f"select count(*) from deja.dlq_actions where group_id = '{self.group}' and state = 'running'")
        return parked + replays + self.aside() + sum(max(0, end - found.get(partition, 0)) for partition, end in enumerate(self.ends))

    def aside(self):
        return self.database.value(f"select count(*) from deja.outbox_stuck s join deja.lanes l on l.id = s.lane where l.group_id = '{self.group}'")

    # --- waiting

    def watch(self, program, ready=lambda: True, lanes=1, every=0.02):
        """Until the process is killed, stopped or ended. Asked to end once it has so many lanes, everything is read, and `ready`. Returns how
        it went."""
        deadline = time.monotonic() + PATIENCE
        while True:
            code = program.process.poll()
            if code is not None:
                return "killed" if code == -signal.SIGKILL else f"ended with {code}"
            if program.stopped():
                return "stopped"
            if not program.asked and program.report.hits()["after-fetch-begun"] >= lanes and self.left() == 0 and ready():
                program.signal(signal.SIGTERM)
                program.asked = True
            if time.monotonic() > deadline:
                raise Broken(f"{program.name} {'does not end' if program.asked else 'makes no progress'}: {self.left()} records left\n{program.log_end()}")
            time.sleep(every)

    def stop(self, program):
        """In order, whatever is left to do."""
        program.signal(signal.SIGTERM)
        program.asked = True
        self.expect_exit(program, "ended with 0")

    def expect_exit(self, program, *right):
        how = self.watch(program, ready=lambda: False)
        if how not in right:
            raise Broken(f"{program.name} {how}\n{program.log_end()}")

    def settle(self):
        """A clean run to the end, then the promise."""
        if self.left() or any(row["p"] < row["n"] - 1 or not row["clean"] for row in self.database.rows(
                f"select published_seq p, next_event_seq n, clean from deja.lanes where group_id = '{self.group}'")):
            program = self.start()
            how = self.watch(program, lanes=PARTITIONS)
            if how != "ended with 0":
                raise Broken(f"a clean run {how}\n{program.log_end()}")
        self.check()

    def check(self):
        findings, outcomes = failpoint_oracle.check(self.cluster, self.database, self.group, self.topic, self.events, self.dead, INJECTED,
                                                     self.settings["retry.max.attempts"])
        records = sum(self.ends) - self.markers
        if sum(outcomes.values()) != records:
            findings.add("records", f"{sum(outcomes.values())} of {records}")
        if findings:
            raise Broken("\n".join(findings))
        return outcomes

    def backends(self):
        return [row["pid"] for row in self.database.rows(
            "select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")]

    def end_transactions(self, pids):
        """What idle_in_transaction_session_timeout does to a stopped process's sessions, only sooner."""
        if pids:
            self.database.rows(f"select pg_terminate_backend(pid) from pg_stat_activity where pid = any('{{{','.join(map(str, pids))}}}') "
                               "and state like 'idle in transaction%'")
