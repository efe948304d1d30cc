"""E3, O2: events that Kafka refuses are set aside with those behind them, others pass, and none is lost, doubled or out of order."""

import contextlib
import itertools
import json
import os
import threading

from fault_sandbox import FaultTest, main, record, wait_until
from kafka_wire import Cluster
from postgres_session import Database

TOO_LARGE = {"max_message_bytes": 2000}
ENOUGH = {"max_message_bytes": 100_000}  # of a request too: a burst has to go in several
BIG = "emit-big:5000"


class RefusedEvents(FaultTest):
    partitions = 1

    def put(self, *records):
        return self.cluster.produce(self.records, 0, list(records))

    def deja(self, *words, output="json"):
        return self.once(*words, "--group", self.group, *(("--output", output) if output else ()), program="deja")

    def rows(self, *words, code=0):
        found, out, error = self.deja(*words)
        self.assertEqual(found, code, error)
        return [json.loads(line) for line in out.splitlines()]

    def change(self, *words, code=0):
        return self.rows("outbox", *words, "--reason", "a reason", "--yes", code=code)

    def aside(self):
        return [(row["seq"], row["state"]) for row in self.rows("outbox", "list")]

    def published(self, key=b"k"):
        """Ids of the records whose events are in Kafka, in the order in which each came first."""
        seen = []
        for event in sorted(self.cluster.read(self.events), key=lambda each: (each.partition, each.offset)):
            identity = json.loads(event.value)["id"]
            if event.key == key and identity not in seen:
                seen.append(identity)
        return seen

    def await_published(self, key, *ids):
        wait_until(lambda: len(self.published(key)) >= len(ids), 60, f"{ids} published, not only {self.published(key)}")
        self.assertEqual(self.published(key), list(ids))

    def await_aside(self, *events):
        wait_until(lambda: self.aside() == list(events), 60, f"{events} set aside, not {self.aside()[:20]}")

    def await_marked(self, program):
        wait_until(lambda: all(row["unpublished"] == 0 for row in self.rows("outbox")), 60, "an outbox with nothing unpublished", program)

    def waiting(self, state=None):
        return self.database.value("select count(*) from deja.outbox_stuck" + (f" where state = '{state}'" if state else ""))

    @contextlib.contextmanager
    def feeding(self, one, first):
        """Records without a pause: its lane never rests, and always has some thousands to do."""
        enough, numbers = threading.Event(), itertools.count(first)

        def feed():
            cluster, database = Cluster(os.environ["DEJA_KAFKA"]), Database(self.postgres_url)
            try:
                while not enough.is_set():
                    end = cluster.produce(self.records, 0, [one(n) for n in itertools.islice(numbers, 500)])
                    while not enough.is_set() and end > database.value("select max(next_offset) from deja.lanes") + 3000:
                        enough.wait(0.02)
            finally:
                cluster.close()
                database.close()
        thread = threading.Thread(target=feed)
        thread.start()
        try:
            yield
        finally:
            enough.set()
            thread.join()

    def finish_clean(self, program):
        self.await_marked(program)
        self.drain(program)
        code, out, error = self.deja("audit")
        self.assertEqual(code, 0, out + error)
        self.assertEqual(self.deja("audit-log", "--verify")[0], 0)
        return json.loads(out.splitlines()[0])


class WhenAnEventIsTooLarge(RefusedEvents):
    def begin(self):
        self.cluster.alter_topic(self.events, **TOO_LARGE)
        self.put(record("a", "ok", 0, b"k"), record("big", BIG, 1, b"k"), record("other", "ok", 2, b"o"), record("b", "ok", 3, b"k"))
        program = self.start()
        self.await_aside((2, "stuck"), (4, "stuck"))
        self.await_published(b"o", "other")
        self.await_published(b"k", "a")
        self.await_marked(program)
        return program

    def test_E3_O2_it_is_set_aside_with_those_of_its_key_and_others_pass(self):
        program = self.begin()
        lane, = self.rows("outbox")
        self.assertEqual((lane["unpublished"], lane["stuck"]), (0, 2))
        self.assertIn("MSG_SIZE_TOO_LARGE", lane["stuck_cause"])
        head, behind = self.rows("outbox", "list")
        self.assertIn("MSG_SIZE_TOO_LARGE", head["error"])
        self.assertIsNone(behind["error"])
        self.assertEqual((head["event_topic"], head["event_key"], behind["attempts"]), (self.events, "k", 0))
        self.await_metric("deja_outbox_quarantined_events", 2, program)
        doctor = next(row for row in map(json.loads, self.deja("doctor")[1].splitlines()) if row["check"] == "events_set_aside")
        self.assertEqual(doctor["status"], "warn")
        self.assertIn("2 events are set aside", doctor["detail"])
        self.put(record("c", "ok", 4, b"k"), record("later", "ok", 5, b"o"))
        self.await_published(b"o", "other", "later")
        self.await_aside((2, "stuck"), (4, "stuck"), (5, "stuck"))
        self.assertEqual(self.finish_clean(program)["events"], 6)
        program = self.start()  # who takes the lane over knows it, too
        self.put(record("d", "ok", 6, b"k"))
        self.await_aside((2, "stuck"), (4, "stuck"), (5, "stuck"), (7, "stuck"))
        self.cluster.alter_topic(self.events, **ENOUGH)
        self.assertEqual([row["outcome"] for row in self.change("retry", head["event_id"])], ["due"])
        self.await_published(b"k", "a", "big", "b", "c", "d")
        self.await_aside()
        self.put(record("e", "ok", 7, b"k"))
        self.await_published(b"k", "a", "big", "b", "c", "d", "e")
        self.finish_clean(program)
        self.check()

    def test_O2_what_is_discarded_is_accounted_for_and_those_behind_it_follow(self):
        program = self.begin()
        head, _ = self.rows("outbox", "list")
        self.change("discard", "--filter", "error~MSG_SIZE")
        self.await_published(b"k", "a", "b")
        self.assertEqual(self.aside(), [(2, "discarded")])
        report = self.finish_clean(program)
        self.assertEqual((report["events"], report["events_discarded"], report["missing"]), (3, 1, 0))
        self.assertIn("not set aside", self.deja("outbox", "retry", head["event_id"], "--reason", "r", "--yes")[2])

    def test_O2_one_discarded_from_behind_lets_nothing_go(self):
        program = self.begin()
        self.put(record("c", "ok", 4, b"k"))
        self.await_aside((2, "stuck"), (4, "stuck"), (5, "stuck"))
        head, behind, _ = self.rows("outbox", "list")
        self.change("discard", behind["event_id"].upper())
        self.assertEqual(self.aside(), [(2, "stuck"), (4, "discarded"), (5, "stuck")])
        self.change("discard", head["event_id"])
        self.await_published(b"k", "a", "c")
        self.await_aside((2, "discarded"), (4, "discarded"))
        self.finish_clean(program)

    def test_O2_a_key_comes_back_while_its_lane_never_rests(self):
        program = self.begin()
        with self.feeding(lambda n: record(f"r{n}", "ok", n, b"k"), 4):
            wait_until(lambda: self.waiting("stuck") > 300, 60, "more that follows", program)
            self.cluster.alter_topic(self.events, **ENOUGH)
            self.change("retry", self.rows("outbox", "list")[0]["event_id"])
            wait_until(lambda: self.waiting() == 0, 60, "nothing set aside", program)
            since = self.consumed()
            wait_until(lambda: self.consumed() > since + 500, 60, "more records", program)
            self.assertEqual(self.waiting(), 0, "what comes later goes the usual way")
        self.await_done([self.records], program)
        self.finish_clean(program)
        self.check()

    def test_O2_a_retry_that_is_refused_again_is_kept_in_its_order(self):
        program = self.begin()
        self.change("retry", "--all")
        self.await_log(program, "wait for an operator")
        self.await_aside((2, "stuck"), (4, "stuck"))
        wait_until(lambda: self.rows("outbox", "list")[0]["attempts"] >= 2, 60, "a further attempt", program)
        self.put(record("c", "ok", 4, b"k"))
        self.await_aside((2, "stuck"), (4, "stuck"), (5, "stuck"))
        self.assertEqual(self.published(), ["a"])
        self.finish_clean(program)

    def test_a_wrong_order_changes_nothing(self):
        program = self.begin()
        for words, code, said in ((("retry",), 64, "which events"), (("retry", "17"), 64, "no event id"), (("retry", "00000000-0000-0000-0000-000000000000"), 65, "is not set aside"),
                                  (("discard", "--filter", "colour = red"), 64, "colour"), (("discard", "--filter", "seq = 99"), 65, "fits")):
            with self.subTest(words):
                found, _, error = self.deja("outbox", *words, "--reason", "r", "--yes")
                self.assertEqual(found, code, error)
                self.assertIn(said, error)
        self.assertEqual(self.deja("outbox", "discard", "--all", "--reason", "r")[0], 64, "off a terminal --yes is needed")
        self.assertEqual(self.aside(), [(2, "stuck"), (4, "stuck")])
        self.finish_clean(program)


class WhenATopicMayNotBeWritten(RefusedEvents):
    def test_E3_O2_its_events_wait_aside_and_come_back_by_themselves(self):
        dead = self.topic("dead", 1)
        self.cluster.forbid_writes(self.events)
        self.put(*(record(f"r{n}", "ok", n, b"k%d" % (n % 3)) for n in range(30)), record("no", "reject", 30))
        program = self.start({"dlq.topic": dead, "flood.ratio": 1.0})
        wait_until(lambda: self.cluster.read(dead), 60, "the dead letter's event, in another topic", program)
        wait_until(lambda: len(self.aside()) == 30, 60, "all events of the topic set aside", program)
        self.assertEqual({state for _, state in self.aside()}, {"waiting"})
        self.assertIn("TOPIC_AUTHORIZATION_FAILED", self.rows("outbox")[0]["stuck_cause"])
        self.put(record("late", "ok", 31, b"k1"))
        wait_until(lambda: len(self.aside()) == 31, 60, "one more set aside", program)
        self.assertEqual(program.log_text().count("it is set aside"), 1, "the others were not tried")
        self.cluster.allow_writes(self.events)
        self.await_aside()
        for key in range(3):
            self.await_published(b"k%d" % key, *(f"r{n}" for n in range(30) if n % 3 == key), *(["late"] if key == 1 else []))
        self.put(record("after", "ok", 32, b"k1"))
        wait_until(lambda: "after" in self.published(b"k1"), 60, "the next one the usual way", program)
        self.finish_clean(program)
        self.check(letters=1)

    def test_O2_a_topic_comes_back_while_its_lane_never_rests(self):
        """All that is emitted meanwhile follows the topic, and would keep it aside for ever."""
        self.cluster.forbid_writes(self.events)
        self.put(*(record(f"r{n}", "ok", n, b"k%d" % (n % 3)) for n in range(100)))
        program = self.start({"flood.ratio": 1.0})
        wait_until(lambda: len(self.aside()) == 100, 60, "all events of the topic set aside", program)
        with self.feeding(lambda n: record(f"r{n}", "ok", n, b"k%d" % (n % 3)), 100):
            wait_until(lambda: self.waiting() > 300, 60, "more that follows", program)
            self.cluster.allow_writes(self.events)
            wait_until(lambda: self.waiting() == 0, 60, "nothing set aside", program)
            self.await_log(program, "events that were set aside are published")
            since = self.consumed()
            wait_until(lambda: self.consumed() > since + 500, 60, "more records", program)
            self.assertEqual(self.waiting(), 0, "what comes later goes the usual way")
        self.await_done([self.records], program)
        self.finish_clean(program)
        self.check()

    def test_O2_what_is_too_large_in_a_refused_topic_keeps_its_key_aside_when_the_topic_is_back(self):
        self.cluster.alter_topic(self.events, **TOO_LARGE)
        self.cluster.forbid_writes(self.events)
        self.put(record("other", "ok", 0, b"o"), record("big", BIG, 1, b"k"))
        program = self.start()
        wait_until(lambda: len(self.aside()) == 2, 60, "both set aside for their topic's sake", program)
        self.cluster.allow_writes(self.events)
        self.await_aside((2, "stuck"))
        self.put(record("late", "ok", 2, b"k"), record("passes", "ok", 3, b"o"))
        self.await_published(b"o", "other", "passes")
        self.await_aside((2, "stuck"), (3, "stuck"))
        self.assertEqual(self.published(), [])
        self.cluster.alter_topic(self.events, **ENOUGH)
        self.change("retry", "--all")
        self.await_published(b"k", "big", "late")
        self.await_aside()
        self.finish_clean(program)
        self.check()

    def test_E3_O2_a_process_that_is_killed_meanwhile_loses_and_reorders_nothing(self):
        self.cluster.forbid_writes(self.events)
        program = self.start({"crash.max.starts": 100})
        for n in range(12):
            self.put(*(record(f"r{n}-{i}", "emit:2", 10 * n + i, b"k%d" % (i % 2)) for i in range(10)))
            if n == 6:
                self.cluster.allow_writes(self.events)
            if n in (2, 5, 6, 7, 9):
                wait_until(lambda: self.consumed() >= 10 * n, 60, "records consumed", program)
                program.kill()
                program = self.start({"crash.max.starts": 100})
        self.await_done([self.records], program)
        self.await_aside()
        self.finish_clean(program)
        self.check()


class WhenTheDeadLetterTopicIsWrong(RefusedEvents):
    def test_D7_not_authorised_it_holds_nothing_up_and_is_told_afterwards(self):
        dead = self.topic("dead", 1)
        self.cluster.forbid_writes(dead)
        self.put(*(record(f"r{n}", "reject" if n % 3 == 0 else "ok", n, b"k") for n in range(12)))
        program = self.start({"dlq.topic": dead, "flood.ratio": 1.0})
        self.await_published(b"k", *(f"r{n}" for n in range(12) if n % 3))
        wait_until(lambda: len(self.aside()) == 4, 60, "the dead letters' events set aside", program)
        self.assertEqual(self.letters(), 4)
        self.rows("dlq", "discard", "--filter", "offset=0", "--reason", "r", "--yes")
        wait_until(lambda: len(self.aside()) == 5, 60, "the word of the discard behind them", program)
        self.cluster.allow_writes(dead)
        wait_until(lambda: len({dict(event.headers)["deja-event-id"] for event in self.cluster.read(dead)}) == 5, 60, "the topic to be told", program)
        self.await_aside()
        told = [dict(event.headers) for event in self.cluster.read(dead)]
        first = told[0]["deja-dlq-id"]
        self.assertEqual([headers["deja-dlq-status"] for headers in told if headers["deja-dlq-id"] == first and "deja-dlq-status" in headers][:1], [b"discarded"])
        self.finish_clean(program)

    def test_D7_too_small_for_a_letter_it_holds_nothing_up(self):
        dead = self.topic("dead", 1, max_message_bytes=2000)
        key, value, headers = record("large", "reject", 0, b"k")
        self.put((key, value[:-1] + b' , "pad": "' + b"x" * 5000 + b'"}', headers), record("a", "ok", 1, b"k"), record("b", "reject", 2, b"other"))
        program = self.start({"dlq.topic": dead, "flood.ratio": 1.0})
        self.await_published(b"k", "a")
        wait_until(lambda: [dict(event.headers)["__dlq.errors.offset"] for event in self.cluster.read(dead)] and
                   {dict(event.headers)["__dlq.errors.offset"] for event in self.cluster.read(dead)} == {b"2"}, 60, "the other letter told", program)
        wait_until(lambda: [state for _, state in self.aside()] == ["stuck"], 60, "the large one set aside", program)
        self.assertEqual(self.letters(), 2)
        self.cluster.alter_topic(dead, **ENOUGH)
        self.change("retry", "--all")
        self.await_aside()
        self.finish_clean(program)


if __name__ == "__main__":
    main()
