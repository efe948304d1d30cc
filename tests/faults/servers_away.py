"""B8, C1 to C4, E2: Kafka or Postgres is away, comes back, comes back as another. On servers of this file's own, so one case at a time."""

import json
import os
import random
import shutil
import subprocess
import time
import urllib.error

import progress
from fault_sandbox import LONG, SEED, FaultTest, cpu_seconds, longer, main, record, resident_bytes, scrape, servers, wait_until
from kafka_admin import committed_offsets
from payments_run import Feeder
from postgres_session import Database, SqlError
from programs import http_get


class PatientDatabase(Database):
    """Asks again over a new session when the server has gone, or is not there yet. For questions only."""

    AWAY = ("terminat", "connection", "starting up", "shutting down", "recovery mode", "crash of another", "not yet accepting")

    def lines(self, sql):
        deadline = time.monotonic() + 90
        while True:
            try:
                return super().lines(sql)
            except SqlError as error:
                if time.monotonic() > deadline or not any(words in str(error) for words in self.AWAY):
                    raise
            time.sleep(0.05)


class ServersTest(FaultTest):
    def setUp(self):
        servers().run("start")  # whatever the case before left
        super().setUp()
        self.database.close()
        self.database = PatientDatabase(self.postgres_url)
        self.addCleanup(self.database.close)


def postgres_data():
    with open(os.path.join(servers().dir, "stack")) as file:
        settings = dict(line.strip().split("=", 1) for line in file)
    return os.path.join(settings["postgres_home"], "data")


class WhenPostgresFails(ServersTest):
    def under_load(self, faults, total):
        """Feeds records while `faults` (a generator) does its work between its yields; then checks U."""
        feeder = Feeder(self, self.records, [record(f"r{n}", "ok", n, f"k{n % 50}".encode()) for n in range(total)], per_second=500)
        program = self.start()
        self.await_consumed(0, program)
        rebalances = self.rebalances()
        for _ in faults(program):
            before = self.consumed()
            self.send(50, prefix="after-")  # the feeder may be done by now
            wait_until(lambda: self.consumed() > before, 90, "throughput to return", program, every=0.02)
        self.assertEqual(self.rebalances(), rebalances, "still a member of the group")
        feeder.hurry.set()
        feeder.join()
        self.await_done([self.records], program)
        metrics = self.scrape()
        self.drain(program)
        outcomes, _, _ = self.check()
        self.assertEqual(outcomes, {"processed": total + self.count})
        self.assertEqual(metrics.sum("deja_attempts_total", result="failed"), 0, "no attempt is spent")
        return metrics

    def await_cause(self, words, program):
        """/health/ready and /status say why it waits, and the lanes do in the database once it is back."""
        def told():
            try:
                http_get(self.port, "/health/ready")
                return False
            except urllib.error.HTTPError as error:
                return words in error.read().decode()
        wait_until(told, 60, f"{words!r} as the cause in /health/ready", program)

    def rebalances(self):
        return self.scrape().sum("deja_rebalances_total")

    @longer
    def test_C1_fast_restarts_and_immediate_stops_under_load(self):
        def faults(_program):
            dice = random.Random(SEED)
            for number in range(20 if LONG else 3):
                if dice.random() < 0.5 if number > 1 else number == 0:
                    servers().run("restart", "postgres")
                else:
                    servers().run("kill", "postgres")
                    servers().run("start", "postgres")
                yield
        self.under_load(faults, 40_000 if LONG else 4000)

    @longer
    def test_C1_every_backend_is_terminated_once_a_second(self):
        ended, rounds = 0, 60 if LONG else 5

        def faults(_program):
            nonlocal ended
            for _ in range(rounds):
                time.sleep(1)  # the fault's own pace
                ended += self.end_backends()
                yield
        metrics = self.under_load(faults, 30_000 if LONG else 3000)
        self.assertGreaterEqual(ended, rounds, "each time the session that worked")
        print(f"C1: {ended} sessions terminated; commits in doubt: {metrics.by('deja_commits_in_doubt_total', 'resolution')}")

    @longer
    def test_C2_away_for_long_it_waits_without_spinning_and_stays_a_member(self):
        away = 120 if LONG else 8
        self.send(500)
        program = self.start({"retry.backoff.max.ms": 2000})
        self.await_done([self.records], program)
        rebalances = self.rebalances()
        servers().run("stop", "postgres")
        self.send(500, prefix="meanwhile-")
        self.await_metric("deja_lanes_paused", 2, program, cause="postgres is away")
        cpu, lines = cpu_seconds(program), len(program.log_text().splitlines())
        time.sleep(away)  # the fault itself: how long it is away
        cpu, lines = cpu_seconds(program) - cpu, len(program.log_text().splitlines()) - lines
        self.assertLess(cpu, 0.15 * away, "seconds of processor while there is nothing to do")
        self.assertLess(lines, 10 + away, "lines of log")
        self.assertEqual(self.scrape().sum("deja_lanes_owned"), 2)
        self.assertEqual(self.rebalances(), rebalances)
        servers().run("start", "postgres")
        self.finish(program)
        print(f"C2: {cpu / away * 100:.1f} % of a processor, {lines} lines in {away} s")

    def test_C3_too_many_connections(self):
        role = f"role_{self.tag}"
        self.database.run(f"create role {role} login; grant usage on schema deja, public to {role}; grant select, insert, update, delete, truncate "
                          f"on all tables in schema deja to {role}; grant select, insert on probe_effects, probe_switches to {role}")
        self.addCleanup(lambda: self.database.run(f"drop owned by {role}; drop role {role}"))
        self.send(200)
        program = self.start({"postgres.url": self.postgres_url.replace("postgres@", f"{role}@", 1)})
        self.await_done([self.records], program)
        self.database.run(f"alter role {role} connection limit 0")
        self.end_backends()
        self.send(200)
        self.await_cause("too many connections", program)
        self.await_metric("deja_lanes_paused", 1, program, cause="postgres is away")
        self.assertEqual(self.effects(), 200)
        self.database.run(f"alter role {role} connection limit -1")
        self.finish(program)

    def test_C3_a_read_only_standby_behind_the_address(self):
        self.send(200)
        program = self.start()
        self.await_done([self.records], program)
        servers().run("stop", "postgres")
        signal_file = os.path.join(postgres_data(), "standby.signal")
        with open(signal_file, "w"):
            pass
        owner = os.stat(postgres_data())
        os.chown(signal_file, owner.st_uid, owner.st_gid)
        servers().run("start", "postgres")
        self.send(200)
        self.await_cause("recovery", program)
        self.await_metric("deja_lanes_paused", 1, program, cause="postgres is away")
        self.assertTrue(self.database.value("select pg_is_in_recovery()"))
        self.assertTrue(program.alive())
        self.database.run("select pg_promote()")
        self.finish(program)

    def test_C4_the_data_directory_is_restored_under_a_running_consumer(self):
        self.send(1000)
        program = self.start({"batch.max.records": 100})
        self.await_done([self.records], program)
        # A copy of the files, as a backup would have them.
        servers().run("stop", "postgres")
        data, backup = postgres_data(), os.path.join(servers().folder, f"backup-{self.tag}")
        subprocess.run(["cp", "-a", data, backup], check=True)
        servers().run("start", "postgres")
        self.send(1000)
        self.await_done([self.records], program)
        ends = self.cluster.end_offsets(self.records)
        # Kafka has heard of it: that is how a rewind is known.
        wait_until(lambda: {p: o for p, (o, _) in committed_offsets(self.cluster, self.group, self.records).items()} == ends, 30,
                   "the offset commits", program)
        servers().run("stop", "postgres")
        shutil.rmtree(data)
        shutil.move(backup, data)
        servers().run("start", "postgres")
        self.await_metric("deja_lane_rewinds_total", 2, program)
        self.send(300)
        self.await_done([self.records], program)
        self.assertIn("it was restored or lost its tail", program.log_text())
        self.drain(program)
        outcomes, _, repeats = self.check(orphans_allowed=True)
        self.assertEqual(outcomes, {"processed": 2300})
        self.assertGreaterEqual(repeats, 1000, "what the lost past had published comes again under its ids")


class WhenKafkaIsAway(ServersTest):
    def test_B8_a_broker_that_restarts_and_one_that_is_killed_under_load(self):
        self.send(1000)
        program = self.start({"batch.max.records": 50})
        self.await_consumed(0, program)
        servers().run("restart", "kafka")
        self.cluster.close()
        self.send(500)
        self.await_done([self.records], program)
        self.send(1000)
        self.await_consumed(1500, program)
        servers().run("kill", "kafka")
        self.cluster.close()
        servers().run("start", "kafka")
        self.send(500)
        outcomes, _, _ = self.finish(program)
        self.assertEqual(outcomes, {"processed": 3000})

    @longer
    def test_B8_E2_away_for_long_effects_commit_and_their_events_wait_in_the_table(self):
        away, count, each = (600, 20_000, 40) if LONG else (5, 2000, 10)
        gate = self.gate()  # holds up either lane until Kafka is gone, at a key of each partition
        self.send(count, do=lambda n: "unavailable" if n % 200 in (197, 198) else f"emit:{each}")
        program = self.start({"batch.max.records": 50})
        wait_until(lambda: self.consumed() > 0 and self.queued() > count // 20, 60, "some records consumed, others in memory", program)
        servers().run("stop", "kafka")
        self.cluster.close()
        consumed, memory = self.consumed(), []
        wait_until(lambda: scrape(self.port).sum("deja_dependency_up", dependency="kafka") == 0, 60, "Kafka to be missed", program)
        gate.close()
        self.await_consumed(consumed, program)
        cpu, lines, begun = cpu_seconds(program), len(program.log_text().splitlines()), time.monotonic()
        while time.monotonic() - begun < away:  # the fault itself: how long it is away
            time.sleep(0.5)
            memory.append(resident_bytes(program))
        waiting = progress.unpublished(self.database, self.group)
        self.assertGreater(waiting, 0, "effects commit, their events wait")
        self.assertLess(len(program.log_text().splitlines()) - lines, 30 + 5 * away, "lines of log")
        self.assertLess(max(memory), 400 << 20, "bytes of memory")
        self.assertFalse(scrape(self.port).sum("deja_attempts_total", result="failed"))
        servers().run("start", "kafka")
        self.cluster.close()
        self.finish(program)
        print(f"E2: {waiting} events waited; {max(memory) >> 20} MiB; {len(program.log_text().splitlines()) - lines} lines; "
              f"{cpu_seconds(program) - cpu if program.alive() else 0:.1f} s of processor")

    def queued(self):
        return sum(lane.get("queued_records", 0) for lane in json.loads(http_get(self.port, "/status"))["lanes"])


if __name__ == "__main__":
    main(workers=1, own_servers=True)
