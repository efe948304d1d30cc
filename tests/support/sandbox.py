"""What an end-to-end test works in: its own database, topics, group and folder on the servers of $DEJA_KAFKA and $DEJA_POSTGRES.

$DEJA_BIN is the folder with the programs (default build/bin of this checkout).
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
import uuid
import zlib

import progress
from kafka_wire import Cluster
from postgres_session import Database, url_of_database
from programs import Program, clean_environment, free_port, http_ok, scrape, wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
BIN = os.environ.get("DEJA_BIN") or os.path.join(ROOT, "build", "bin")


def toml(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml, value)) + "]"
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def partition_for(key, partitions):
    """Any fixed rule will do: records of one key in one partition."""
    return zlib.crc32(key) % partitions if key is not None else 0


def produce(cluster, topic, records, batch=500):
    """records: (key, value, headers) each; those of a key go to one partition, in order."""
    count, spread = len(cluster.partitions(topic)), {}
    for record in records:
        spread.setdefault(partition_for(record[0], count), []).append(record)
    for partition, each in spread.items():
        for start in range(0, len(each), batch):
            cluster.produce(topic, partition, each[start:start + batch])


class Sandbox(unittest.TestCase):
    program = "deja-payments"

    def setUp(self):
        for variable in ("DEJA_KAFKA", "DEJA_POSTGRES"):
            if not os.environ.get(variable):
                self.fail(f'{variable} is not set: eval "$(scripts/stack up)"')
        self.tag = uuid.uuid4().hex[:10]
        self.folder = tempfile.mkdtemp(prefix="deja-e2e.")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.cluster = Cluster(os.environ["DEJA_KAFKA"])
        self.addCleanup(self.cluster.close)
        server = Database(os.environ["DEJA_POSTGRES"])
        self.addCleanup(server.close)
        name = f"e2e_{self.tag}"
        server.run(f"create database {name}")
        server.close()  # until it is dropped, over a new session: some tests restart the server
        self.addCleanup(server.run, f"drop database if exists {name} with (force)")
        self.postgres_url = url_of_database(os.environ["DEJA_POSTGRES"], name)
        self.database = Database(self.postgres_url)
        self.addCleanup(self.database.close)
        self.environment = clean_environment(DEJA_KAFKA=os.environ["DEJA_KAFKA"], DEJA_POSTGRES=self.postgres_url)
        self.group = f"group-{self.tag}"
        self.running = []
        self.addCleanup(self.end_programs)

    def end_programs(self):
        """Also shows what they logged when the test failed."""
        for program in self.running:
            program.kill()
        outcome = getattr(self, "_outcome", None)
        errors = getattr(getattr(outcome, "result", None), "errors", []) + getattr(getattr(outcome, "result", None), "failures", [])
        if any(test is self for test, _ in errors):
            for log in sorted({program.log for program in self.running}):
                with open(log, errors="replace") as file:
                    print(f"--- {os.path.basename(log)}\n{file.read()[-6000:]}", file=sys.stderr)

    # --- topics and records

    def topic(self, word, partitions=4, **settings):
        name = f"{word}-{self.tag}"
        self.cluster.create_topic(name, partitions, **settings)
        return name

    def produce(self, topic, records):
        produce(self.cluster, topic, records)

    # --- programs

    def settings(self, more=None):
        return {"group.id": self.group, "http.address": f"127.0.0.1:{self.port}"} | (more or {})

    def write_settings(self, name, settings):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.writelines(f"{key} = {toml(value)}\n" for key, value in settings.items())
        return path

    def once(self, *words, program=None, environment=None, timeout=120):
        """Runs a program to its end: (exit code, stdout, stderr)."""
        command = [os.path.join(BIN, program or self.program), *words]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.folder,
                              env=environment or self.environment, timeout=timeout)
        return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")

    def must(self, *words, program=None):
        code, out, err = self.once(*words, program=program)
        self.assertEqual(code, 0, f"{program or self.program} {' '.join(words)}\n{out}{err}")
        return out

    def prepare(self, *words):
        self.must("migrate", program="deja")
        self.must("--init", *words)

    def start(self, settings, name=None, log=None):
        path = self.write_settings(f"{name or self.program}.toml", settings)
        command = [os.path.join(BIN, self.program), "--config", path]
        program = Program(name or self.program, command, self.environment, os.path.join(self.folder, f"{log or name or self.program}.log"),
                          self.folder)
        self.running.append(program)
        return program

    def await_ready(self, port, *programs, seconds=60):
        wait_until(lambda: http_ok(port, "/health/ready"), seconds, "/health/ready", *programs)

    def await_done(self, topics, *programs, seconds=180):
        wait_until(lambda: progress.is_done(self.cluster, self.database, self.group, topics), seconds,
                   "every record read and every event published", *programs, every=0.1)

    def drain(self, program, seconds=60):
        self.assertEqual(program.terminate(seconds), 0, program.log_end())

    @property
    def port(self):
        if not hasattr(self, "_port"):
            self._port = free_port()
        return self._port

    def scrape(self):
        return scrape(self.port)

    def assert_clean(self, findings):
        self.assertEqual(list(findings), [], "\n".join(findings))


def main():
    # A test that ctest ends must not leave its programs behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    unittest.main(verbosity=2)
