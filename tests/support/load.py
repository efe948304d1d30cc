"""The input of a run with random faults: scripts for deja-probe with duplicates, conflicts, poison and several events, sent while faults go on."""

import json
import random
import threading
import time

from kafka_wire import Cluster, KafkaError
from sandbox import partition_for

KEY = "Idempotency-Key"
# what a record asks for, and how often in a thousand
KINDS = [("ok", 856), ("emit:3", 40), ("emit:0", 20), ("slow-sql:5", 10), ("sleep:3", 10), ("reject", 10), ("throw", 6), ("throw:1", 16), ("throw:2", 12), ("throw:3", 2),
         ("sql-error", 4), ("swallow-sql-error", 2), ("commit", 2), ("no-such-thing", 4), ("broken", 3), ("no-key", 3)]
DUPLICATES, CONFLICTS, REMEMBERED = 0.06, 0.005, 3000


class Load:
    """The same seed gives the same records, in the same order. next() gives (topic, record key, value, headers)."""
    conflicts = CONFLICTS

    def __init__(self, seed, topics, record_keys=400, kinds=None):
        self.dice, self.topics, self.record_keys = random.Random(f"load {seed}"), topics, record_keys
        self.number, self.sent = 0, []
        self.seed, self.kinds = seed, kinds or KINDS

    def next(self):
        dice = self.dice.random()
        if self.sent and dice < DUPLICATES:
            # near ones as a retry of the producer, far ones as a resend
            near = self.dice.random() < 0.7
            return self.sent[-1 - min(int(self.dice.expovariate(0.2)), len(self.sent) - 1)] if near else self.dice.choice(self.sent)
        if self.sent and dice < DUPLICATES + self.conflicts:
            topic, key, _, headers = self.dice.choice(self.sent)
            return topic, key, self._script("ok"), headers
        record = self._new()
        self.sent.append(record)
        if len(self.sent) > REMEMBERED:
            del self.sent[:REMEMBERED // 2]
        return record

    def _new(self):
        (kind,) = self.dice.choices([kind for kind, _ in self.kinds], [weight for _, weight in self.kinds])
        record_key = f"r{self.dice.randrange(self.record_keys):03}".encode()
        # a record key has one topic, and with it one partition: there its records have an order
        topic = self.topics[partition_for(record_key + b"?", len(self.topics))]
        value = self._script(kind if kind not in ("broken", "no-key") else "ok")
        headers = [] if kind == "no-key" else [(KEY, f"k-{self.seed}-{self.number:07}".encode())]
        return topic, record_key, value[:-1] if kind == "broken" else value, headers

    def _script(self, do):
        self.number += 1
        return json.dumps({"id": f"e-{self.number:07}", "seq": self.number, "do": do}).encode()


class Feeder(threading.Thread):
    """Sends records at a pace, or as many as `wanted` says, through broker restarts: an unclear outcome is sent again, which may
    double records in the log as a producer does."""

    def __init__(self, bootstrap, load, per_second, most=None):
        super().__init__(daemon=True)
        self.bootstrap, self.load, self.per_second, self.most = bootstrap, load, per_second, most
        self.sent, self.stopping, self.error = 0, threading.Event(), None
        self.wanted = None  # a function that says how many records are wanted by now
        self.begun = time.monotonic()

    def run(self):
        cluster = Cluster(self.bootstrap, timeout=10)
        try:
            while not self.stopping.is_set() and (self.most is None or self.sent < self.most):
                due = self.wanted() if self.wanted else int((time.monotonic() - self.begun) * self.per_second)
                count = min(due - self.sent, 200, (self.most or due) - self.sent)
                if count <= 0:
                    self.stopping.wait(0.05)
                    continue
                self._send(cluster, [self.load.next() for _ in range(count)])
                self.sent += count
        except Exception as error:  # told at the end
            self.error = error
        finally:
            cluster.close()

    def _send(self, cluster, records):
        spread = {}
        for topic, key, value, headers in records:
            partitions = len(self._patiently(cluster, lambda topic=topic: cluster.partitions(topic)))
            spread.setdefault((topic, partition_for(key, partitions)), []).append((key, value, headers))
        for (topic, partition), each in spread.items():
            self._patiently(cluster, lambda: cluster.produce(topic, partition, each))

    @staticmethod
    def _patiently(cluster, call, seconds=180):
        deadline = time.monotonic() + seconds
        while True:
            try:
                return call()
            except (OSError, KafkaError):
                cluster.close()
                cluster.leaders.clear()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def finish(self, seconds=300):
        self.join(seconds)
        if self.is_alive():
            raise AssertionError("the producer of the run did not end")
        if self.error:
            raise self.error
