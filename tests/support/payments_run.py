"""What the tests with deja-payments share. The program's topics have fixed names: each test makes them anew, and two of these tests
never run at one time against one Kafka (the resource lock in tests/e2e/CMakeLists.txt)."""

import json
import os
import subprocess
import sys
import threading
import time
from base64 import b64decode

import payments_oracle as oracle
from kafka_wire import Cluster
from sandbox import ROOT, Sandbox, produce

TOPIC, EVENTS = "payments", "payments.settled"


def _bytes(field):
    if isinstance(field, dict):
        return b64decode(field["base64"])
    return None if field is None else field.encode()


def payments(records, seed, **options):
    words = [f"--{name}={value}" for name, value in options.items()]
    made = subprocess.run([sys.executable, os.path.join(ROOT, "scripts", "demo-data"), f"--records={records}", f"--seed={seed}", *words],
                          stdout=subprocess.PIPE, check=True)
    return [(_bytes(line["key"]), _bytes(line["value"]), [(name, _bytes(value)) for name, value in line["headers"]])
            for line in map(json.loads, made.stdout.splitlines())]


class PaymentsTest(Sandbox):
    program = "deja-payments"

    def setUp(self):
        super().setUp()
        self.dead_topic = self.topic("payments.dlq", 1)
        for topic in (TOPIC, EVENTS):
            self.cluster.delete_topic(topic)
            self.cluster.create_topic(topic, 4)
        self.prepare()

    def payment_settings(self, more=None):
        return self.settings({"dlq.topic": self.dead_topic} | (more or {}))

    def check(self):
        """Compares everything with what the log asks for. Returns (outcomes, log, ledger, dead letters, repeated events)."""
        findings = oracle.Findings()
        log = self.cluster.read(TOPIC)
        outcomes, ledger, dead = oracle.check_effects(log, self.database, findings, self.group)
        repeats = oracle.check_settled_events(self.cluster.read(EVENTS), ledger, findings)
        oracle.check_dead_letter_events(self.cluster.read(self.dead_topic), dead, findings, self.group)
        self.assert_clean(findings)
        self.assertEqual(sum(outcomes.values()), len(log))
        return outcomes, log, ledger, dead, repeats


class Feeder(threading.Thread):
    """Sends records at a steady pace, over a connection of its own. `join` raises what went wrong."""

    def __init__(self, test, topic, records, per_second, chunk=100):
        super().__init__(daemon=True)
        self.test, self.topic, self.records, self.per_second, self.chunk = test, topic, records, per_second, chunk
        self.cluster = Cluster(os.environ["DEJA_KAFKA"])
        self.error = None
        self.hurry = threading.Event()
        self.start()

    def run(self):
        try:
            begun = time.monotonic()
            for at in range(0, len(self.records), self.chunk):
                produce(self.cluster, self.topic, self.records[at:at + self.chunk])
                self.hurry.wait(max(0.0, begun + at / self.per_second - time.monotonic()))
        except Exception as error:  # told by join
            self.error = error
        finally:
            self.cluster.close()

    def join(self, timeout=None):
        super().join(timeout)
        if self.error:
            raise self.error
