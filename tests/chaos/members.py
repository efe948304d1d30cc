"""The processes of a chaos run: each behind proxies of its own, started again when the run wants it so."""

import os
import signal
import urllib.parse

from fault_proxy import FaultProxy
from postgres_session import url_of_database
from programs import Metrics, Program, free_port, http_get
from sandbox import BIN, toml

COUNTED = {  # name in the summary -> (metric, labels)
    "rebalances": ("deja_rebalances_total", {}), "fenced": ("deja_fenced_total", {}), "redelivered or stale": ("deja_stale_deliveries_total", {}),
    "in doubt, committed": ("deja_commits_in_doubt_total", {"resolution": "committed"}),
    "in doubt, not committed": ("deja_commits_in_doubt_total", {"resolution": "not_committed"}),
    "in doubt, fenced": ("deja_commits_in_doubt_total", {"resolution": "fenced"}),
    "batches repeated": ("deja_batch_repeats_total", {}), "redeliveries": ("deja_redeliveries_total", {}), "lanes rewound": ("deja_lane_rewinds_total", {}),
}


def through(url, address):
    parts = urllib.parse.urlsplit(url)
    user = parts.netloc.rpartition("@")[0]
    return urllib.parse.urlunsplit(parts._replace(netloc=(user + "@" if user else "") + "{}:{}".format(*address)))


def pair(text):
    """PROXY=LISTENER of $DEJA_KAFKA_PROXIES, as two addresses."""
    return [(host, int(port)) for host, _, port in (each.rpartition(":") for each in text.split("="))]


class Member:
    def __init__(self, number, run, kafka_pair, dice):
        self.number, self.run, self.name = number, run, f"m{number}"
        listen, target = pair(kafka_pair)
        self.kafka = FaultProxy(target, listen, name=f"{self.name}-kafka")
        url = urllib.parse.urlsplit(run.postgres)
        self.postgres = FaultProxy((url.hostname, url.port), postgres=True, name=f"{self.name}-postgres")
        self.postgres.dice = self.kafka.dice = dice
        self.static = dice.random() < 0.4
        self.program, self.stopped, self.starts, self.asked = None, False, 0, 0
        self.port = free_port()
        self.seen = {}    # counters of the running process, as last read
        self.totals = dict.fromkeys(COUNTED, 0)

    def settings(self):
        settings = {
            "group.id": self.run.group, "http.address": f"127.0.0.1:{self.port}", "app.topics": self.run.topics,
            "app.events.topic": self.run.events, "dlq.topic": self.run.dead, "kafka.bootstrap.servers": "{}:{}".format(*self.kafka.address),
            "postgres.url": through(url_of_database(self.run.postgres, self.run.database_name), self.postgres.address), "postgres.lost.ms": 2000,
            "handler.timeout.ms": 5000, "drain.timeout.ms": 5000, "startup.timeout.ms": 60000, "batch.max.records": 100,
            "lanes.per.partition": self.run.lanes,
            "retry.backoff.base.ms": 50, "retry.backoff.max.ms": 1000, "retry.max.attempts": 3, "retry.budget.ratio": 1.0, "breaker.open.ms": 1000,
            # None of the records kills its process: deaths are the run's doing.
            "crash.max.starts": 100,
            "kafka.consumer.session.timeout.ms": 6000, "kafka.consumer.heartbeat.interval.ms": 500, "kafka.consumer.socket.timeout.ms": 10000,
            "kafka.producer.socket.timeout.ms": 10000, "kafka.consumer.partition.assignment.strategy": self.run.strategy}
        if self.static:
            settings["kafka.consumer.group.instance.id"] = f"{self.run.group}-{self.name}"
        return settings

    def start(self):
        self.starts += 1
        self.asked = 0
        self.seen = {}
        path = os.path.join(self.run.folder, f"{self.name}.toml")
        with open(path, "w") as file:
            file.writelines(f"{key} = {toml(value)}\n" for key, value in (self.settings() | self.run.more_settings).items())
        # Ends with the run, whatever ends that.
        command = ["setpriv", "--pdeathsig", "KILL", os.path.join(BIN, "deja-probe"), "--config", path]
        self.program = Program(self.name, command, self.run.environment, os.path.join(self.run.folder, f"{self.name}.log"), self.run.folder)
        self.stopped = False

    def running(self):
        return self.program is not None and self.program.alive()

    def freeze(self):
        self.program.signal(signal.SIGSTOP)
        self.stopped = True

    def thaw(self):
        if self.running():
            self.program.signal(signal.SIGCONT)
        self.stopped = False

    def kill(self):
        if self.program:
            self.program.kill()
        self._count()
        self.program, self.stopped = None, False

    def ask_to_end(self):
        """SIGTERM; a second one ends the process at once."""
        self.asked += 1
        self.program.signal(signal.SIGTERM)

    def exited(self):
        """The exit code of a process that ended by itself, once."""
        if self.program is None or self.program.alive():
            return None
        code = self.program.process.returncode
        self._count()
        self.program = None
        return code

    def terminate(self, seconds):
        code = self.program.terminate(seconds)
        self._count()
        self.program = None
        return code

    def look(self):
        """Reads the counters, if the process answers quickly."""
        if not self.running() or self.stopped:
            return
        try:
            metrics = Metrics(http_get(self.port, "/metrics", timeout=1))
        except (OSError, ValueError):
            return
        self.seen = {name: metrics.sum(metric, **labels) for name, (metric, labels) in COUNTED.items()}

    def status(self):
        try:
            return http_get(self.port, "/status", timeout=3)
        except OSError as error:
            return str(error)

    def _count(self):
        for name, value in self.seen.items():
            self.totals[name] += int(value)
        self.seen = {}

    def close(self):
        if self.program:
            self.program.kill()
        self.kafka.close()
        self.postgres.close()
