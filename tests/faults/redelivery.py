"""D1, D3, D4, R5: records that fail are parked and tried again, in the order of their ordering keys, while everything else moves on.

A long backoff holds parked records where they are; make_due() then does what an operator's command does to them, and the test need
not wait. A record that does `unavailable` stands in its handler for as long as the test holds the gate.
"""

import json
import random
import signal
import zlib

import progress
from fault_sandbox import LONG, SEED, FaultTest, free_port, longer, main, record, script, wait_until
from kafka_admin import add_partitions
from postgres_session import as_bytes
from programs import http_get

DAY = 86_400_000
# A wait is anything from nothing to the longest one: of a thousand records, one is due within the first minute and a half.
NEVER = {"retry.backoff.base.ms": DAY, "retry.backoff.max.ms": DAY, "retry.deadline.ms": 20 * DAY}
SOON = {"retry.backoff.base.ms": 20, "retry.backoff.max.ms": 100}


def attempts(count, wait=None):
    return {"retry.max.attempts": count} | (wait or SOON)


class RedeliveryTest(FaultTest):
    def put(self, *records, partition=0):
        return self.cluster.produce(self.records, partition, list(records))

    def parked(self, what='"offset"', order='"offset"'):
        return [next(iter(row.values())) for row in self.database.rows(f"select {what} from deja.parked where group_id = '{self.group}' order by {order}")]

    def await_parked(self, count, *programs):
        wait_until(lambda: len(self.parked()) == count, 60, f"{count} parked records", *programs)

    def make_due(self):
        """Under the lane's lock and with a new version, as everything that operators change of parked records."""
        self.database.run(f"begin; update deja.lanes set parked_version = parked_version + 1 where group_id = '{self.group}'; "
                          f"update deja.parked set next_at = clock_timestamp() where group_id = '{self.group}' and next_at > clock_timestamp(); commit")

    def work_off(self, *programs):
        """However long the backoff is."""
        wait_until(lambda: progress.is_done(self.cluster, self.database, self.group, [self.records]) or self.make_due(), 120,
                   "every record done", *programs, every=0.3)

    def lane(self, partition=0):
        lanes = json.loads(http_get(self.port, "/status"))["lanes"]
        return next(lane for lane in lanes if lane["partition"] == partition)

    def await_pause(self, words, *programs):
        def paused():
            try:
                lane = self.lane()
                return lane if words in (lane["paused_cause"] or "") else None
            except (OSError, StopIteration):
                return None
        return wait_until(paused, 60, f"a pause because of {words!r} in /status", *programs)

    def made(self):
        """The effects in the order in which they were made."""
        return [row["id"] for row in self.database.rows("select id from probe_effects order by n")]


class WhenAHandlerFails(RedeliveryTest):
    def test_D1_a_record_that_always_fails_holds_up_its_key_alone(self):
        self.put(record("bad", "throw", 0, b"a"), record("b1", "ok", 1, b"b"), record("a2", "ok", 2, b"a"), record("b3", "ok", 3, b"b"), record("a4", "ok", 4, b"a"))
        program = self.start(attempts(4, NEVER))
        wait_until(lambda: self.next_offsets().get(0) == 5, 60, "the partition's move", program)
        self.assertEqual((self.made(), self.parked()), (["b1", "b3"], [0, 2, 4]))
        self.await_metric("deja_parked_records", 3, program)
        self.work_off(program)
        metrics = self.scrape()
        wait_until(lambda: self.scrape().sum("deja_parked_records") == 0, 60, "no parked records in the metrics", program)
        self.drain(program)
        outcomes, _, _ = self.check(letters=1)
        self.assertEqual(outcomes, {"processed": 4, "exhausted": 1})
        self.assertEqual(self.made(), ["b1", "b3", "a2", "a4"])
        (letter,) = self.database.rows("select cause, stage, attempts, error, record_key from deja.dead_letters")
        self.assertEqual((letter["cause"], letter["stage"], letter["attempts"]), ("exhausted", "handler", 4))
        self.assertIn("told to throw (attempt 4)", letter["error"])
        self.assertEqual(as_bytes(letter["record_key"]), b"a")
        self.assertEqual(metrics.sum("deja_redeliveries_total"), 3, "those behind it run for the first time")

    def test_K6_a_dead_letter_keeps_when_it_was_first_seen_and_first_failed(self):
        self.put(record("bad", "throw", 0, b"a"))
        program = self.start(attempts(2, NEVER))
        self.await_parked(1, program)
        ((seen, failed),) = [tuple(row.values()) for row in self.database.rows("select first_seen, first_failed_at from deja.parked")]
        self.work_off(program)
        self.drain(program)
        (letter,) = self.database.rows("select first_seen, first_failed_at from deja.dead_letters")
        self.assertEqual((letter["first_seen"], letter["first_failed_at"]), (seen, failed))

    def test_D1_the_waits_are_random_grow_and_are_bounded(self):
        self.put(*(record(f"r{n}", "throw", n, b"k%d" % n) for n in range(40)))
        program = self.start(attempts(3, NEVER | {"retry.backoff.base.ms": DAY // 2, "retry.backoff.max.ms": DAY * 3 // 4}))
        self.await_parked(40, program)
        first = self.parked("waited_ms")
        self.assertLessEqual(max(first), DAY // 2)
        self.assertGreater(max(first) - min(first), DAY // 4, "full jitter: forty of them within a half of it are not to be expected")
        self.make_due()
        wait_until(lambda: min(self.parked("attempt")) == 2, 60, "second attempts", program)
        second = [after - before for before, after in zip(first, self.parked("waited_ms"))]
        self.assertTrue(DAY // 2 < max(second) <= DAY * 3 // 4, f"doubled, up to retry.backoff.max.ms: {max(second)}")
        self.work_off(program)
        self.drain(program)
        outcomes, _, _ = self.check(letters=40)
        self.assertEqual(outcomes, {"exhausted": 40})

    def some_of_a_batch_fail(self, do, bad, repeats):
        """A batch of exactly 500: they queue up behind one that waits at the gate."""
        gate = self.gate()
        self.put(record("first", "unavailable", 0, b"first"))
        program = self.start(attempts(2, NEVER) | {"batch.max.records": 500, "flood.ratio": 1.0})
        self.await_in_batch(program)
        self.put(*(record(f"r{n}", do if n in bad else "ok", n, b"k%d" % n) for n in range(500)))
        wait_until(lambda: self.lane()["queued_records"] == 500, 60, "500 records in the lane's queue", program)
        gate.close()
        self.await_effects(501 - len(bad), program)
        wait_until(lambda: len(self.parked()) + self.letters() == len(bad), 60, "those that fail to be parked", program)
        metrics = self.scrape()
        if metrics.sum("deja_redeliveries_total") == 0:  # none of their waits was that short
            self.assertEqual(metrics.by("deja_batch_repeats_total", "cause"), repeats)
        self.work_off(program)
        self.drain(program)
        outcomes, _, _ = self.check(letters=len(bad))
        self.assertEqual(outcomes, {"processed": 501 - len(bad), "exhausted": len(bad)})

    def test_D3_one_of_a_batch_of_500_fails(self):
        self.some_of_a_batch_fail("sql-error", {250}, {"handler_error": 1})

    def test_D3_ten_of_a_batch_of_500_fail(self):
        self.some_of_a_batch_fail("sql-error", set(range(3, 500, 50)), {"handler_error": 1})

    def test_D3_ten_of_a_batch_of_500_fail_that_only_wrote(self):
        self.some_of_a_batch_fail("throw", set(range(3, 500, 50)), {})

    def test_D3_all_of_a_batch_of_500_fail(self):
        self.some_of_a_batch_fail("sql-error", set(range(500)), {"handler_error": 1})

    def test_D4_a_record_that_heals_on_its_last_attempt_takes_effect_once(self):
        self.put(*(record(f"r{n}", "throw:3" if n % 3 == 0 else "ok", n, b"k%d" % (n % 7)) for n in range(60)))
        outcomes, effects, _ = self.finish(self.start(attempts(4)))
        self.assertEqual(outcomes, {"processed": 60})
        tried = {row["offset"]: row["attempt"] for row in self.database.rows('select "offset", attempt from probe_effects')}
        self.assertEqual(tried, {n: 4 if n % 3 == 0 else 1 for n in range(60)})

    def test_D4_one_that_would_heal_on_the_next_attempt_is_dead(self):
        self.put(*(record(f"r{n}", "throw:4" if n % 3 == 0 else "ok", n, b"k%d" % (n % 7)) for n in range(60)))
        outcomes, _, _ = self.finish(self.start(attempts(4)), letters=20)
        self.assertEqual(outcomes, {"processed": 40, "exhausted": 20})

    def test_R2_the_deadline_ends_the_attempts(self):
        self.put(record("bad", "throw", 0, b"a"), record("a1", "ok", 1, b"a"))
        outcomes, _, _ = self.finish(self.start({"retry.max.attempts": 1000, "retry.deadline.ms": 300, "retry.backoff.base.ms": 100, "retry.backoff.max.ms": 100}), letters=1)
        self.assertEqual(outcomes, {"processed": 1, "exhausted": 1})
        tries = self.database.value("select attempts from deja.dead_letters")
        self.assertTrue(4 <= tries < 1000, f"no delay is above 100, so 300 are not reached in fewer than three: {tries} attempts")

    def test_R5_records_without_a_key_do_not_wait_for_each_other(self):
        self.put(*(record(f"r{n}", "throw:1" if n % 2 else "ok", n, None) for n in range(40)))
        program = self.start(attempts(3, NEVER))
        wait_until(lambda: self.next_offsets().get(0) == 40, 60, "all consumed", program)
        self.assertEqual(self.parked(), list(range(1, 40, 2)))
        self.assertEqual(self.parked("attempt"), [1] * 20)
        self.work_off(program)
        self.drain(program)
        self.assertEqual(self.check()[0], {"processed": 40})

    def test_R5_what_waits_behind_a_record_is_worked_off_in_runs_and_in_order(self):
        doings = ["throw:1"] + [{60: "throw:1", 130: "sql-error", 190: "reject", 240: "slow-sql:1"}.get(n, "ok") for n in range(1, 300)]
        self.put(*(record(f"a{n}", do, n, b"a") for n, do in enumerate(doings)), record("b", "ok", 300, b"b"))
        program = self.start(attempts(2, NEVER))
        self.await_parked(300, program)
        self.work_off(program)
        batches = self.scrape().sum("deja_batch_records_count")
        self.drain(program)
        self.assertEqual(self.made(), ["b"] + [f"a{n}" for n in range(300) if n not in (130, 190)])
        self.assertEqual(self.check(letters=2)[0], {"processed": 299, "exhausted": 1, "rejected": 1})
        self.assertLess(batches, 60, "a transaction for each of them would take longer than new ones need to come")

    def test_B4_a_twin_of_a_parked_record_is_a_duplicate_at_once(self):
        self.put(record("a0", "throw:1", 0, b"a"))
        program = self.start(attempts(3, NEVER))
        self.await_parked(1, program)
        self.put(*[record("a0", "throw:1", 0, b"a")] * 300, record("b", "ok", 1, b"b"))
        self.await_effects(1, program)
        self.assertEqual(self.parked(), [0], "no row for each of them")
        self.await_metric("deja_records_total", 300, program, disposition="duplicate")
        self.work_off(program)
        self.drain(program)
        self.assertEqual(self.check()[0], {"processed": 2, "duplicate": 300})

    def test_B4_one_of_another_payload_waits_and_is_the_conflict(self):
        self.put(record("a0", "throw:1", 0, b"a"))
        program = self.start(attempts(3, NEVER))
        self.await_parked(1, program)
        self.put(record("other", "ok", 1, b"a", idempotency="a0"))
        self.await_parked(2, program)
        self.work_off(program)
        self.drain(program)
        self.assertEqual(self.check(letters=1)[0], {"processed": 1, "conflict": 1})


    def test_B3_an_operator_who_gives_a_record_up_takes_no_key_away_from_another_ones_effect(self):
        self.put(record("a0", "throw", 0, b"a"))
        program = self.start(attempts(5, NEVER))
        self.await_parked(1, program)
        self.put(record("twin", "ok", 1, b"b", idempotency="a0"))
        self.await_effects(1, program)
        (number,) = self.parked("id")
        self.must("parked", "dead-letter", str(number), "--reason", "nobody waits for it", "--yes", "--group", self.group, program="deja")
        self.assertEqual(self.letters(), 1)
        self.put(record("third", "ok", 2, b"c", idempotency="a0"))
        self.await_done([self.records], program)
        self.drain(program)
        self.assertEqual(self.made(), ["twin"], "its key is still known")
        self.assertEqual(self.letters(), 2)

    def test_R4_a_live_record_is_moved_out_of_the_way_of_a_full_lane(self):
        self.put(record("a0", "throw", 0, b"a"), record("a1", "ok", 1, b"a"), record("b2", "ok", 2, b"b"))
        program = self.start(attempts(5, NEVER) | {"park.max.records": 1, "park.key.max.records": 1})
        self.await_pause("no room", program)
        self.must("lanes", "dead-letter", "--topic", self.records, "--partition", "0", "--offset", "1", "--reason", "it need not wait", "--yes", "--group",
                  self.group, program="deja")
        wait_until(lambda: self.letters() == 1, 60, "the dead letter", program)
        self.drain(program)
        self.assertEqual(self.database.value("select \"offset\" from deja.dead_letters"), 1)
        self.assertEqual(self.parked(), [0])

    def test_the_audit_and_the_commands_know_parked_records(self):
        self.put(record("a0", "throw:1", 0, b"a"), record("a1", "ok", 1, b"a"), record("b2", "ok", 2, b"b"))
        program = self.start(attempts(3, NEVER))
        self.await_effects(1, program)
        self.await_parked(2, program)
        with self.subTest("deja lanes"):
            self.assertEqual([lane["parked"] for lane in self.told("lanes") if lane["partition"] == 0], [2])
        with self.subTest("deja key"):
            self.assertEqual({row["status"] for row in self.told("key", "a1")}, {"parked"})
        with self.subTest("deja audit"):
            code, out, error = self.once("audit", "--group", self.group, "--output", "json", program="deja")
            found = next(row for row in map(json.loads, out.splitlines()) if row.get("partition") == 0)
            self.assertEqual({name: found[name] for name in ("checked", "processed", "parked", "missing")}, {"checked": 3, "processed": 1, "parked": 2, "missing": 0})
            self.assertEqual(code, 0, out + error)
        self.work_off(program)
        self.drain(program)
        self.assertEqual(self.check()[0], {"processed": 3})

    def told(self, *words):
        return [json.loads(line) for line in self.must(*words, "--group", self.group, "--output", "json", program="deja").splitlines()]

    def test_B4_the_audit_knows_a_twin_of_a_parked_record_that_is_dead_since(self):
        self.put(record("a0", "throw", 0, b"a"))
        program = self.start(attempts(2, NEVER))
        self.await_parked(1, program)
        self.put(record("a0", "throw", 0, b"a"), record("b", "ok", 1, b"b"))
        self.await_effects(1, program)
        self.work_off(program)
        self.drain(program)
        self.assertEqual(self.check(letters=1)[0], {"processed": 1, "exhausted": 1, "duplicate": 1})
        code, out, error = self.once("audit", "--group", self.group, program="deja")
        self.assertEqual(code, 0, out + error)

    def test_D10_bytes_of_any_kind_are_the_same_after_the_wait(self):
        keys = [b"\xff\x00\xfe", b"", None, "schl\u00fcssel".encode(), b"'; drop table x --", b"\\x41", bytes(range(256))]
        records = []
        for n, key in enumerate(keys):
            for do in ("throw:1", "ok"):
                headers = [("Idempotency-Key", b"\x00\xff%d " % n + do.encode()), ("other", b"\xfe\x00\""), ("none", None), ("other", b"")]
                records.append((key, script(f"r{n}-{do}", do, n), headers))
        self.put(*records)
        program = self.start(attempts(3, NEVER))
        wait_until(lambda: self.next_offsets().get(0) == len(records), 60, "all consumed", program)  # the second one without a key took effect
        self.assertEqual(len(self.parked()), 2 * len(keys) - 1)
        self.work_off(program)
        again = self.put(*records)  # all of them duplicates: their keys and digests are those of their first run
        wait_until(lambda: self.next_offsets()[0] == again + len(records), 60, "the end of the log", program)
        self.drain(program)
        self.assertEqual(sorted(self.made()), sorted(f"r{n}-{do}" for n in range(len(keys)) for do in ("throw:1", "ok")))
        events = {json.loads(event.value)["id"]: event.key for event in self.cluster.read(self.events)}
        self.assertEqual(events, {f"r{n}-{do}": key for n, key in enumerate(keys) for do in ("throw:1", "ok")})
        self.assertEqual((self.letters(), self.effects()), (0, 2 * len(keys)))

    def test_R3_a_handler_that_is_too_slow_spends_its_attempts(self):
        self.put(record("a0", "sleep:2500", 0, b"a"), *(record(f"r{n}", "throw:1" if n % 3 == 0 else "ok", n, b"abc"[n % 3:n % 3 + 1]) for n in range(1, 20)))
        program = self.start(attempts(3) | {"handler.timeout.ms": 1500, "crash.max.starts": 100})
        self.await_done([self.records], program)
        self.drain(program)
        (letter,) = self.database.rows('select cause, attempts, "offset" as at, error from deja.dead_letters')
        self.assertEqual((letter["cause"], letter["attempts"], letter["at"]), ("exhausted", 3, 0))
        self.assertIn("handler.timeout.ms", letter["error"])
        self.assertEqual([name for name in self.made() if int(name[1:]) % 3 == 0], [f"r{n}" for n in range(3, 20, 3)])
        self.assertEqual(self.effects(), 19)

    def test_B5_a_violation_that_shows_only_at_commit_is_found_among_parked_ones(self):
        self.database.run("alter table probe_effects add constraint once unique (seq) deferrable initially deferred")
        self.put(record("first", "ok", 7, b"first"), *(record(f"r{n}", "throw:1", 7 if n % 4 == 0 else 100 + n, b"k%d" % (n % 11)) for n in range(44)))
        program = self.start(attempts(3))
        self.await_done([self.records], program)
        self.drain(program)
        rows = self.database.rows('select "offset" as at from deja.dead_letters order by 1')
        self.assertEqual([row["at"] for row in rows], [1 + n for n in range(0, 44, 4)])
        for key in range(11):
            mine = [name for name in self.made() if name != "first" and int(name[1:]) % 11 == key]
            self.assertEqual(mine, sorted(mine, key=lambda name: int(name[1:])))
        self.assertEqual((self.effects(), self.letters()), (34, 11))


class WhenThereIsNoRoom(RedeliveryTest):
    def test_a_full_ordering_key_pauses_its_lane_and_it_goes_on(self):
        self.put(record("a0", "throw:1", 0, b"a"), record("a1", "ok", 1, b"a"), record("b2", "ok", 2, b"b"), record("a3", "ok", 3, b"a"), record("b4", "ok", 4, b"b"))
        program = self.start(attempts(3, NEVER) | {"park.key.max.records": 2})
        lane = self.await_pause("no room to park a record: 2 are parked", program)
        self.assertEqual((lane["next_offset"], self.made(), self.parked()), (3, ["b2"], [0, 1]))
        self.assertIn("offset 3", lane["blocked_by"])
        self.make_due()
        self.work_off(program)
        wait_until(lambda: not self.lane()["paused_cause"], 60, "the end of the pause in /status", program)
        self.drain(program)
        self.assertEqual(self.check()[0], {"processed": 5})

    def test_a_full_lane_pauses_and_goes_on(self):
        self.put(*(record(f"r{n}", "throw:1" if n < 6 else "ok", n, b"k%d" % n) for n in range(12)))
        program = self.start(attempts(3, NEVER) | {"park.max.records": 4, "park.key.max.records": 2, "batch.max.records": 3})
        self.await_pause("no room to park a record: 4 are parked", program)
        self.assertEqual((self.next_offsets()[0], self.parked()), (4, [0, 1, 2, 3]))
        self.work_off(program)
        self.drain(program)
        self.assertEqual(self.check()[0], {"processed": 12})

    def test_a_lane_that_waits_for_room_stops_when_it_is_told_to(self):
        self.put(*(record(f"r{n}", "throw:1", n, b"k%d" % (n % 3)) for n in range(12)))
        program = self.start(attempts(3, NEVER) | {"park.max.records": 4, "park.key.max.records": 2})
        self.await_pause("no room", program)
        self.drain(program)
        program = self.start(attempts(3) | {"park.max.records": 4, "park.key.max.records": 2}, log="again")
        self.work_off(program)
        self.drain(program)
        self.assertEqual(self.check()[0], {"processed": 12})

    def test_with_the_other_policy_what_finds_no_room_is_dead(self):
        self.put(record("a0", "throw:1", 0, b"a"), *(record(f"a{n}", "ok", n, b"a") for n in range(1, 6)), *(record(f"b{n}", "throw:1", n, b"b%d" % n) for n in range(6)),
                 record("c", "ok", 0, b"c"))
        program = self.start(attempts(3, NEVER) | {"park.policy": "dead", "park.key.max.records": 3, "park.max.records": 5})
        self.await_effects(1, program)
        self.assertEqual(self.parked(), [0, 1, 2, 6, 7])
        self.assertEqual(self.letters(), 3 + 4)
        self.work_off(program)
        self.drain(program)
        self.assertEqual(self.check(letters=7)[0], {"processed": 6, "overflow": 7})


class WhenParkedRecordsWait(RedeliveryTest):
    ONE = {"kafka.consumer.group.instance.id": "one"}

    def test_A1_the_process_is_killed_while_a_parked_record_runs(self):
        """Twice; it is done by the third process."""
        gate = self.gate()
        self.put(record("a0", "throw:1", 0, b"a"), record("b1", "ok", 1, b"b"), record("a2", "unavailable", 2, b"a"), record("a3", "ok", 3, b"a"))
        for number in range(2):
            program = self.start(attempts(3) | self.ONE, log=f"start{number}")
            wait_until(lambda: self.in_batch() and self.parked() == [2, 3], 60, "the parked record in its handler", program)
            self.assertEqual((self.next_offsets()[0], sorted(self.made())), (4, ["a0", "b1"]))
            program.kill()
            wait_until(lambda: not self.in_batch(), 60, "the end of its session")
        gate.close()
        self.assertEqual(self.finish(self.start(attempts(3) | self.ONE, log="last"))[0], {"processed": 4})

    def test_A4_a_process_that_stands_still_while_a_parked_record_runs_is_fenced(self):
        gate = self.gate()
        self.put(record("a0", "throw:1", 0, b"a"), record("b1", "ok", 1, b"b"), record("a2", "unavailable", 2, b"a"), record("a3", "throw:2", 3, b"a"), record("a4", "ok", 4, b"a"))
        first = self.start(attempts(3), name="first")
        wait_until(lambda: self.in_batch() and self.parked() == [2, 3, 4], 60, "the parked record in its handler", first)
        first.signal(signal.SIGSTOP)
        gate.close()
        self.await_still()
        second = self.start(attempts(3), name="second", port=free_port())
        self.await_done([self.records], second)
        first.signal(signal.SIGCONT)
        self.put(record("a5", "throw:1", 5, b"a"), record("a6", "ok", 6, b"a"))
        self.assertEqual(self.finish(first, second)[0], {"processed": 7})

    def test_A2_they_are_still_there_after_a_stop(self):
        self.send(200, do=lambda n: "throw:2" if n % 9 == 0 else "ok", keys=23)
        program = self.start(attempts(4, NEVER) | self.ONE)
        wait_until(lambda: self.consumed() == 200, 60, "the ends of the log", program)
        self.drain(program)
        waiting = self.parked()
        self.assertGreater(len(waiting), 22)
        program = self.start(attempts(4, NEVER) | self.ONE, log="again")
        self.send(50, keys=23)
        wait_until(lambda: self.consumed() == 250, 60, "the ends of the log", program)
        self.work_off(program)
        self.drain(program)
        self.assertEqual(self.check()[0], {"processed": 250})

    def test_B1_they_move_with_their_lane(self):
        for partition in range(2):
            self.put(*(record(f"p{partition}-{n}", "throw:2" if n % 5 == 0 else "ok", n, b"%d-%d" % (partition, n % 4)) for n in range(40)), partition=partition)
        first = self.start(attempts(4, NEVER), name="first")
        wait_until(lambda: self.consumed() == 80, 60, "the ends of the log", first)
        self.assertGreater(len(self.parked()), 16)
        port = free_port()
        second = self.start(attempts(4, NEVER), name="second", port=port)
        self.await_metric("deja_lanes_owned", 1, first, second, port=port)
        self.work_off(first, second)
        self.drain(second)
        self.drain(first)
        self.assertEqual(self.check()[0], {"processed": 80})
        made = self.database.rows("select partition, array_agg(distinct pid) as pids from probe_effects where attempt > 1 group by 1")
        self.assertEqual({tuple(row["pids"]) for row in made}, {(first.process.pid,), (second.process.pid,)}, "each partition's by its owner")

    def test_L5_other_lanes_are_refused_while_some_are_parked(self):
        self.put(record("a0", "throw:1", 0, b"a"), record("a1", "ok", 1, b"a"), record("b2", "ok", 2, b"b"))
        program = self.start(attempts(3, NEVER) | {"lanes.per.partition": 2})
        self.await_effects(1, program)
        wait_until(lambda: len(self.parked()) == 2, 60, "parked records", program)
        self.drain(program)
        program = self.start(attempts(3, NEVER) | {"lanes.per.partition": 3}, log="three")
        self.assertEqual(program.process.wait(60), 78, program.log_end())
        self.assertIn("parked", program.log_text().splitlines()[-1])
        program = self.start(attempts(3, NEVER) | {"lanes.per.partition": 2}, log="two")
        self.work_off(program)
        self.drain(program)
        program = self.start(attempts(3, NEVER) | {"lanes.per.partition": 3}, log="three-again")
        self.send(30)
        self.await_effects(33, program)
        self.await_done([self.records], program)
        self.drain(program)
        self.assertEqual(self.check()[0], {"processed": 33})

    def test_R2_an_outage_takes_no_attempt_of_a_parked_record(self):
        self.database.run("insert into probe_switches values ('down', true)")
        self.put(record("a0", "throw:1", 0, b"a"), record("a1", "unavailable", 1, b"a"), record("a2", "ok", 2, b"a"))
        program = self.start(attempts(2) | {"breaker.failure.count": 2, "breaker.open.ms": 100})
        lane = self.await_pause("probe is unavailable", program)
        self.assertIn("parked, offset 1", lane["blocked_by"])
        self.await_metric("deja_attempts_total", 5, program, result="unavailable")
        self.assertEqual((self.made(), self.parked(), self.parked("attempt"), self.letters()), (["a0"], [1, 2], [0, 0], 0))
        self.put(record("b3", "ok", 3, b"b"))
        self.database.run("update probe_switches set value = false")
        self.assertEqual(self.finish(program)[0], {"processed": 4})
        self.assertEqual(self.database.value("select attempt from probe_effects where id = 'a1'"), 1)

    def doctor(self, check):
        path = self.write_settings("doctor.toml", {"group.id": self.group})
        _, out, _ = self.once("doctor", "--config", path, "--output", "json", "--filter", f"check={check}", program="deja")
        return [json.loads(line)["status"] for line in out.splitlines()]

    def test_R5_doctor_warns_when_a_topic_grew_while_records_of_it_are_parked(self):
        self.put(record("a0", "throw:1", 0, b"a"))
        program = self.start(attempts(2, NEVER) | {"kafka.consumer.topic.metadata.refresh.interval.ms": 300})
        self.await_parked(1, program)
        self.assertEqual(self.doctor("grown_topics"), ["ok"])
        add_partitions(self.cluster, self.records, 3)
        wait_until(lambda: len(self.next_offsets()) == 3, 60, "the new partition's lane", program)
        self.assertEqual(self.doctor("grown_topics"), ["warn"])
        self.work_off(program)
        self.assertEqual(self.doctor("grown_topics"), ["ok"])
        self.drain(program)

    def test_D9_R2_a_record_that_failed_before_loses_nothing_in_an_outage(self):
        self.database.run("insert into probe_switches values ('down', true)")
        self.database.run("alter table probe_switches rename to switches; create view probe_switches as select name, value, 1 / (length(name) - 4) as broken from switches "
                          "where 1 / (length(name) - 4) > 0")
        self.put(record("a0", "unavailable", 0, b"a"))
        program = self.start(attempts(2, NEVER) | {"breaker.failure.count": 1, "breaker.open.ms": 100})
        self.await_parked(1, program)
        self.assertEqual(self.parked("attempt"), [1])
        self.database.run("drop view probe_switches; alter table switches rename to probe_switches")
        self.must("parked", "retry", str(self.parked("id")[0]), "--reason", "it is mended", "--yes", "--group", self.group, program="deja")
        self.await_pause("probe is unavailable", program)
        self.await_metric("deja_attempts_total", 5, program, result="unavailable")
        self.assertEqual((self.parked("attempt"), self.letters()), ([1], 0), "its last attempt is not spent")
        self.database.run("update probe_switches set value = false")
        self.assertEqual(self.finish(program)[0], {"processed": 1})
        self.assertEqual(self.database.value("select attempt from probe_effects where id = 'a0'"), 2)

    def test_D2_B5_parked_records_of_a_log_that_is_gone(self):
        """They keep their place before those of the new log, and a dead letter beside that of the new log's record at the same offset."""
        self.put(record("old0", "throw", 0, b"a"), record("old1", "throw:1", 1, b"b"))
        program = self.start(attempts(2, NEVER))
        self.await_parked(2, program)
        self.drain(program)
        self.cluster.delete_topic(self.records)
        self.cluster.create_topic(self.records, 2)
        self.put(record("new0", "reject", 0, b"c"), record("new1", "ok", 1, b"b"), record("new2", "ok", 2, b"a"), record("new3", "ok", 3, b"c"))
        program = self.start(attempts(2, NEVER), log="stops")
        self.await_log(program, "the partition stops")
        accept = ("lanes", "accept-loss", "--topic", self.records, "--partition", "0", "--reason", "made again", "--yes", "--group", self.group)
        wait_until(lambda: self.once(*accept, program="deja")[0] == 0, 60, "accept-loss, as soon as the stop is shown", program, every=0.3)
        wait_until(lambda: self.next_offsets()[0] == 4 and self.letters() == 1, 60, "the end of the new log", program)
        self.work_off(program)
        self.drain(program)
        self.assertEqual(self.made(), ["new3", "old1", "new1", "new2"] if self.made()[1] == "old1" else ["new3", "new2", "old1", "new1"])
        letters = self.database.rows("select \"offset\" as at, cause, incarnation = (select incarnation from deja.lanes l where l.id = d.lane) as new "
                                     "from deja.dead_letters d order by cause")
        self.assertEqual([(row["at"], row["cause"], row["new"]) for row in letters], [(0, "exhausted", False), (0, "rejected", True)])

    def killed_by(self, do):
        settings = attempts(3) | self.ONE | {"crash.max.starts": 2}
        for partition in range(2):
            self.put(*(record(f"before{partition}-{n}", "throw:1" if n % 4 == 1 else "ok", n, b"%d-%d" % (partition, n % 3)) for n in range(12)), partition=partition)
        self.put(record("head", "throw:1", 0, b"a"), record("killer", do, 1, b"a"), record("behind", "ok", 2, b"a"),
                 *(record(f"after{n}", "throw:1" if n % 4 == 1 else "ok", n, b"0-%d" % (n % 3)) for n in range(12)))
        codes = []
        for number in range(5):
            program = self.start(settings, log=f"start{number}")
            wait_until(lambda: not program.alive() or progress.is_done(self.cluster, self.database, self.group, [self.records]), 60, "the end of the log, or of the process")
            if program.alive():
                break
            codes.append(program.process.returncode)
        self.assertTrue(program.alive(), f"the process ended {len(codes)} times\n{program.log_end()}")
        self.drain(program)
        self.assertEqual(self.check(letters=1)[0], {"processed": 38, "killed_process": 1})
        self.assertTrue(2 <= len(codes) <= 3, f"once as it came, then crash.max.starts times alone: {codes}")

    def test_D2_R1_a_parked_record_that_aborts(self):
        self.killed_by("abort")

    def test_D2_R1_a_parked_record_that_segfaults(self):
        self.killed_by("segv")


class WhenEverythingHappens(RedeliveryTest):
    """R5: whatever ends, stops or moves, the effects of a record key are in log order, each once, and each record has one disposition."""
    partitions = 3
    KINDS = [("ok", 60), ("throw:1", 10), ("throw:2", 6), ("throw:3", 4), ("throw:9", 2), ("throw", 2), ("sql-error", 3), ("reject", 3), ("emit:2", 5), ("slow-sql:5", 5)]

    def storm(self, rounds, batch, lanes, per_round=60):
        dice = random.Random(f"{SEED} {batch} {lanes} {zlib.crc32(self._testMethodName.encode())}")
        settings = attempts(4, {"retry.backoff.base.ms": 30, "retry.backoff.max.ms": 200}) | {
            "batch.max.records": batch, "lanes.per.partition": lanes, "crash.max.starts": 100, "drain.timeout.ms": 10000}
        ports, members = {"one": self.port, "two": free_port()}, {}

        def begin(name):
            members[name] = self.start(settings | {"kafka.consumer.group.instance.id": name}, name=name, port=ports[name])

        def end(name, how):
            program = members.pop(name)
            if how == "kill":
                program.kill()
            else:
                stop(program)

        def stop(program):
            self.await_log(program, " running ")  # before it nobody answers a signal
            self.drain(program)

        begin("one")
        sent, told = 0, []
        for _ in range(rounds):
            records = []
            for n in range(sent, sent + per_round):
                (do,) = dice.choices([kind for kind, _ in self.KINDS], [weight for _, weight in self.KINDS])
                key = None if dice.random() < 0.05 else b"k%d" % dice.randrange(12)
                records.append(record(f"r{n}", do, n, key))
                if dice.random() < 0.05:
                    records.append(records[-1])  # a retry of the producer
            self.produce(self.records, records)
            sent += per_round
            total = sum(self.cluster.end_offsets(self.records).values())
            until = total - dice.randrange(per_round)
            wait_until(lambda: self.consumed() >= until, 90, f"{until} records consumed", *members.values(), every=0.02)
            what = dice.choice(["kill", "stop", "join", "leave", "kill"])
            told.append(what)
            if what in ("kill", "stop"):
                name = dice.choice(sorted(members))
                end(name, what)
                begin(name)
            elif what == "join" and "two" not in members:
                begin("two")
            elif "two" in members:
                end("two", "stop")
        try:
            self.await_done([self.records], *members.values(), seconds=120)
        finally:
            print(f"{self._testMethodName}: {' '.join(told)}", flush=True)
        for name in sorted(members):
            stop(members[name])
        self.check(letters=self.letters())

    def test_R5_small_batches(self):
        self.storm(5, batch=4, lanes=1)

    def test_R5_large_batches_and_several_lanes(self):
        self.storm(5, batch=500, lanes=3, per_round=120)

    @longer
    def test_R5_for_long(self):
        self.storm(60 if LONG else 2, batch=7, lanes=2, per_round=150)


if __name__ == "__main__":
    main()
