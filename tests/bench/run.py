"""Effects per second of a handler with one insert, against the same SQL from a plain client, another build, or itself while some records fail:
see scripts/bench."""

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "support"))

from kafka_wire import Cluster  # noqa: E402
from postgres_session import Database, url_of_database  # noqa: E402
from programs import Program, clean_environment, wait_until  # noqa: E402
from sandbox import BIN  # noqa: E402

PARTITIONS, VALUE_BYTES = 4, 100
FAILING = 100  # one in so many fails at its first attempt
PARKED = 1000  # records of keys of their own, which come first and stay parked
DAY_MS = 86_400_000
TABLE = "create table bench_effects (id bigint generated always as identity primary key, record_key text not null, value text not null)"


class Bench:
    def __init__(self, options):
        self.options = options
        self.tag = uuid.uuid4().hex[:8]
        self.server = Database(os.environ["DEJA_POSTGRES"])
        self.cluster = Cluster(os.environ["DEJA_KAFKA"])
        self.topic = f"bench-{self.tag}"
        self.folder = tempfile.TemporaryDirectory(prefix="deja-bench.")

    def record(self, n):
        with_some = self.options.failing or self.options.parked
        place = n // PARTITIONS  # those that fail are spread over all partitions and over the keys
        word = "f" if self.options.failing and (place + place * PARTITIONS // self.options.keys) % FAILING == 0 else "p" if self.options.parked and n < PARKED else "v"
        key = f"parked-{n}" if word == "p" else f"key-{n % self.options.keys}"
        value = (word if with_some else "") + str(n)
        return key.encode(), value.ljust(VALUE_BYTES, "v").encode(), [("Idempotency-Key", f"{self.tag}-{n:08}".encode())]

    def load(self):
        """As many records in each partition as the plain client has in each lane, of the same sizes."""
        self.cluster.create_topic(self.topic, PARTITIONS)
        for partition in range(PARTITIONS):
            numbers = range(partition, self.options.records, PARTITIONS)
            for start in range(0, len(numbers), 1000):
                self.cluster.produce(self.topic, partition, [self.record(n) for n in numbers[start:start + 1000]])

    def fresh_database(self, programs=BIN):
        name = f"bench_{uuid.uuid4().hex[:10]}"
        self.server.run(f"create database {name}")
        url = url_of_database(os.environ["DEJA_POSTGRES"], name)
        environment = clean_environment(DEJA_KAFKA=os.environ["DEJA_KAFKA"], DEJA_POSTGRES=url)
        subprocess.run([os.path.join(programs, "deja"), "migrate"], env=environment, cwd=self.folder.name, check=True, stdout=subprocess.DEVNULL)
        database = Database(url)
        database.run(TABLE)
        # Neither side pays for what the one before it has left to write.
        self.server.run("checkpoint")
        return name, database, environment

    def measure(self, database, program, still_parked=0):
        """Effects per second between the first commit and the last, as a third party sees them: the same way for both."""
        seen = []

        def done():
            now = database.value("select coalesce(sum(next_offset), 0)::bigint from deja.lanes")
            if now and (not seen or now != seen[-1][1]):
                seen.append((time.monotonic(), now))
            return now >= self.options.records or None

        wait_until(done, 600, "all records", *program, every=0.01)
        (begun, before), (ended, after) = seen[0], seen[-1]
        if ended <= begun:
            raise RuntimeError("too few records to measure")
        wanted = self.options.records - still_parked
        wait_until(lambda: database.value("select count(*) from bench_effects") == wanted, 600, f"{wanted} effects", *program)
        if database.value("select count(*) from deja.parked") != still_parked:
            raise RuntimeError("not as many are parked as are to be")
        return (after - before) / (ended - begun)

    def consumer(self, programs=BIN, fails="none"):
        name, database, environment = self.fresh_database(programs)
        settings = {"app.topic": self.topic, "http.address": "off", "postgres.connections": self.options.connections,
                    "batch.max.records": self.options.batch, "group.id": f"bench-{uuid.uuid4().hex[:8]}"}
        if fails != "none":
            settings |= {"app.fails": fails, "flood.ratio": 1}
        if fails == "parked":
            settings |= {"retry.backoff.base.ms": DAY_MS, "retry.backoff.max.ms": DAY_MS, "retry.deadline.ms": 10 * DAY_MS, "dedup.window.ms": 100 * DAY_MS}
        words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        program = Program("deja-bench-consumer", [os.path.join(programs, "deja-bench-consumer"), *words], environment,
                          os.path.join(self.folder.name, "consumer.log"), self.folder.name)
        try:
            rate = self.measure(database, [program], PARKED if fails == "parked" else 0)
            code = program.terminate()
            if code != 0:
                raise RuntimeError(f"the consumer ended with {code}\n{program.log_end()}")
            return rate
        finally:
            program.kill()
            self.drop(name, database)

    def plain(self):
        name, database, environment = self.fresh_database()
        words = [environment["DEJA_POSTGRES"], self.options.records, PARTITIONS, self.options.connections, self.options.batch, VALUE_BYTES]
        process = subprocess.Popen([os.path.join(BIN, "deja-bench-plain"), *map(str, words)], env=environment, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE)
        try:
            if process.stdout.readline().strip() != b"ready":
                raise RuntimeError("the plain client did not start")
            process.stdin.close()
            rate = self.measure(database, [])
            if process.wait(60) != 0:
                raise RuntimeError("the plain client failed")
            return rate
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            process.stdout.close()
            self.drop(name, database)

    def drop(self, name, database):
        database.close()
        self.server.run(f"drop database {name} with (force)")

    def sides(self):
        """(name, what measures it) of the two that take turns."""
        if self.options.against:
            return ("deja", self.consumer), ("build before", lambda: self.consumer(self.options.against))
        if self.options.failing:
            how = self.options.failing
            return (f"1 in {FAILING} fails ({how})", lambda: self.consumer(fails=how)), ("none fails", self.consumer)
        if self.options.parked:
            return (f"{PARKED} keys parked", lambda: self.consumer(fails="parked")), ("none parked", self.consumer)
        return ("deja", self.consumer), ("same SQL", self.plain)

    def run(self):
        print(f"loading {self.options.records:,} records into {PARTITIONS} partitions", file=sys.stderr, flush=True)
        self.load()
        rounds = []
        one, other = self.sides()
        print(f"round   {one[0]:>20}   {other[0]:>20}   ratio    (effects/s)")
        for number in range(1, self.options.rounds + 1):
            # Who goes first alternates too.
            order = [("deja", one[1]), ("plain", other[1])]
            rates = {side: measure() for side, measure in (order if number % 2 else order[::-1])}
            rounds.append({"round": number, "deja": round(rates["deja"]), "plain": round(rates["plain"]),
                           "ratio": round(rates["deja"] / rates["plain"], 3)})
            print(f"{number:>5}   {rates['deja']:>20,.0f}   {rates['plain']:>20,.0f}   {rounds[-1]['ratio']:>5.2f}", flush=True)
        middle = {side: statistics.median(each[side] for each in rounds) for side in ("deja", "plain", "ratio")}
        print(f"median  {middle['deja']:>20,.0f}   {middle['plain']:>20,.0f}   {middle['ratio']:>5.2f}")
        if self.options.json:
            result = {"records": self.options.records, "partitions": PARTITIONS, "connections": self.options.connections,
                      "batch_max_records": self.options.batch, "value_bytes": VALUE_BYTES, "cpus": os.cpu_count(), "machine": platform.machine(),
                      "postgres": self.server.value("select current_setting('server_version')"), "rounds": rounds, "median": middle}
            with open(self.options.json, "w") as file:
                json.dump(result, file, indent=2)
                file.write("\n")

    def close(self):
        try:
            self.cluster.delete_topic(self.topic)
        finally:
            self.cluster.close()
            self.server.close()
            self.folder.cleanup()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--json")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--against")
    what.add_argument("--failing", choices=("throw", "sql"))
    what.add_argument("--parked", action="store_true")
    parser.add_argument("--keys", type=int, default=1000)
    parser.add_argument("--records", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--connections", type=int, default=2)
    parser.add_argument("--batch", type=int, default=500)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    bench = Bench(options)
    try:
        bench.run()
    finally:
        bench.close()


main()
