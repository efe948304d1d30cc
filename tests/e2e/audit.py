"""The audit: clean over everything that may rightly happen to records, and each planted fault is found and named."""

import uuid

import sandbox
from audits import AuditSandbox, named, summed
from kafka_admin import TransactionalProducer
from probe_records import KEY, script
from programs import wait_until


def replaced(headers, name, value):
    return [(each, value if each == name else data) for each, data in headers]


def number(event):
    return next(value for name, value in event.headers if name == "deja-event-number").decode()


class AuditTest(AuditSandbox):
    program = "deja-probe"


class WhenTheProbeHasRun(AuditTest):
    """One run for all faults: each is planted, found, and taken back."""

    def setUp(self):
        super().setUp()
        self.records, self.events, self.dead = self.topic("probe", 2), self.topic("probe.events", 2), self.topic("probe.dlq", 1)
        self.probe_settings = self.settings({"app.topics": [self.records], "app.events.topic": self.events, "dlq.topic": self.dead})
        self.prepare("--config", self.write_settings("init.toml", self.probe_settings))
        self.produce_all()
        program = self.start(self.probe_settings)
        # perhaps not to the end of the log: there lies what was aborted
        wait_until(lambda: self.database.rows("select partition from deja.lanes where next_offset >= case partition when 0 then 66 else 32 end and published_seq = next_event_seq - 1 order by 1")
                   == [{"partition": 0}, {"partition": 1}], 120, "all records and events", program)
        self.drain(program)

    def produce_all(self):
        def good(start, count):
            return [(b"k%d" % (n % 5), script(f"r{n}", seq=n), [(KEY, b"r%d" % n)]) for n in range(start, start + count)]

        def aborted(name):
            transaction = TransactionalProducer(self.cluster, f"{name}-{self.tag}")
            transaction.produce(self.records, 0, [(b"k", script("never"), [(KEY, b"never")])] * 3)
            return transaction

        self.cluster.produce(self.records, 0, good(0, 40))
        aborted("first").end(False)
        transaction = TransactionalProducer(self.cluster, f"kept-{self.tag}")
        transaction.produce(self.records, 0, good(40, 10))
        transaction.end(True)
        self.cluster.produce(self.records, 0, good(0, 7))                                                    # duplicates
        self.cluster.produce(self.records, 0, [(b"k", script("other"), [(KEY, b"r%d" % n)]) for n in (1, 2)])  # conflicts
        self.cluster.produce(self.records, 0, [(b"k", script("bad", "reject"), [(KEY, b"bad")]), (b"k", script("none"), [])])
        self.cluster.produce(self.records, 1, good(100, 30) + good(3, 2))                                    # and duplicates of the other partition
        aborted("last").end(False)

    clean = {"checked": 93, "processed": 80, "duplicate": 9, "conflict": 2, "dead": 2, "events": 84}

    def sql(self, text):
        self.database.run(text)

    def key_of(self, partition, offset):
        return self.database.rows(f"select k.key, k.lane, k.\"offset\" from deja.keys_1 k join deja.lanes l on l.id = k.lane "
                                  f"where l.partition = {partition} and k.\"offset\" = {offset}")[0]

    def with_events(self, change):
        """The audit over the events as `change` leaves them, in a topic of their own. It gets and gives (partition, key, value, headers)."""
        copy = self.topic(f"copy-{uuid.uuid4().hex[:6]}", 2)
        for partition in (0, 1):
            events = change([event for event in self.cluster.read(self.events) if event.partition == partition])
            if events:
                self.cluster.produce(copy, partition, [(event.key, event.value, event.headers) for event in events])
        self.sql(f"update deja.event_topics set topic = '{copy}' where topic = '{self.events}'")
        try:
            return self.audit()
        finally:
            self.sql(f"update deja.event_topics set topic = '{self.events}' where topic = '{copy}'")

    def test_the_audit_is_clean_and_finds_each_fault(self):
        for test in (self.all_is_clean, self.ranges_count_what_lies_in_them, self.what_checks_nothing_says_so, self.a_lost_effect, self.a_doubled_effect, self.two_swapped_effects,
                     self.an_effect_booked_in_a_taken_place, self.a_lost_dead_letter, self.a_missing_event, self.a_phantom_event, self.a_doubled_event,
                     self.a_repeated_event, self.swapped_events, self.an_event_lost_before_it_was_published, self.an_event_of_a_restored_database):
            with self.subTest(test.__name__):
                test()
        self.all_is_clean()

    def all_is_clean(self):
        rows = self.audit(code=0)
        self.assert_counts(rows, **self.clean)
        self.assertEqual([(row["topic"], row["partition"]) for row in rows], [(self.records, 0), (self.records, 1)])
        own = self.audit("--config", self.write_settings("own.toml", self.probe_settings), program="deja-probe", code=0)
        self.assertEqual(rows, own)
        code, out, err = self.once("audit", "--group", self.group, program="deja")
        self.assertEqual(code, 0)
        self.assertIn("audit: clean", err)
        self.assertIn(self.records, out)

    def ranges_count_what_lies_in_them(self):
        rows = self.audit("--topic", self.records, "--from", "10", "--to", "20", code=0)
        self.assertEqual([row["checked"] for row in rows], [10, 10])

    def ended(self, *words, program="deja", code):
        ended, _, err = self.once(*words, program=program)
        self.assertEqual(ended, code, err)
        return err

    def what_checks_nothing_says_so(self):
        own = self.write_settings("own.toml", self.probe_settings)
        wrong = (("deja", "audit", "--group", "nobody"), ("deja", "audit", "--group", self.group, "--topic", "nothing"),
                 ("deja-probe", "--audit", "--config", own, "--set", "group.id=nobody"))
        for program, *words in wrong:
            last = self.ended(*words, program=program, code=65).splitlines()[-1]
            self.assertIn("there are no lanes for", last)
            self.assertIn(f"{self.group} ({self.records})", last)
        for start, end in (("20", "10"), ("20", "20")):
            for program, *words in (("deja", "audit", "--group", self.group), ("deja-probe", "--audit", "--config", own)):
                self.assertIn(f"--from {start} --to {end}", self.ended(*words, "--from", start, "--to", end, program=program, code=64).splitlines()[-1])
        consumed = self.database.value("select max(next_offset) from deja.lanes")
        self.assertIn(f"no record was checked from 1000: what is consumed ends before offset {consumed}", self.ended("audit", "--group", self.group, "--from", "1000", code=0))
        self.assertNotIn("no record was checked", self.ended("audit", "--group", self.group, code=0))

    def a_lost_effect(self):
        row = self.key_of(0, 20)
        self.sql(f"create table saved as select * from deja.keys_1 where key = '{row['key']}'; delete from deja.keys_1 where key = '{row['key']}'")
        rows = self.audit(code=1)
        self.sql("insert into deja.keys_1 select * from saved; drop table saved")
        self.assertEqual(summed(rows)["missing"], 1)
        (finding,) = named(rows, "missing")
        self.assertEqual((finding["what"], finding["topic"], finding["partition"], finding["offset"], finding["key"]), ("record", self.records, 0, 20, "k0"))

    def a_doubled_effect(self):
        columns = [row["column_name"] for row in self.database.rows(
            "select column_name from information_schema.columns where table_schema = 'deja' and table_name = 'dead_letters' and is_identity = 'NO'")]
        copied = ", ".join(f'"{name}"' for name in columns)
        values = ", ".join("21" if name == "offset" else f'"{name}"' for name in columns)
        self.sql(f"insert into deja.dead_letters ({copied}) select {values} from deja.dead_letters where cause = 'rejected' limit 1")
        rows = self.audit(code=1)
        self.sql('delete from deja.dead_letters where "offset" = 21')
        self.assertEqual(summed(rows)["doubled"], 1)
        (finding,) = named(rows, "doubled")
        self.assertEqual((finding["what"], finding["partition"], finding["offset"]), ("record", 0, 21))

    def swap_keys(self, one, other):
        self.sql(f"update deja.keys_1 set \"offset\" = {other['offset']} where key = '{one['key']}';"
                 f"update deja.keys_1 set \"offset\" = {one['offset']} where key = '{other['key']}'")

    def two_swapped_effects(self):
        one, other = self.key_of(0, 22), self.key_of(0, 25)
        self.swap_keys(one, other)
        rows = self.audit(code=1)
        self.sql(f"update deja.keys_1 set \"offset\" = 22 where key = '{one['key']}'; update deja.keys_1 set \"offset\" = 25 where key = '{other['key']}'")
        self.assertEqual([finding["offset"] for finding in named(rows, "misordered")], [22])
        self.assertEqual([finding["offset"] for finding in named(rows, "missing")], [22, 25])

    def an_effect_booked_in_a_taken_place(self):
        row = self.key_of(0, 30)
        for taken in (29, 31):
            self.sql(f"update deja.keys_1 set \"offset\" = {taken} where key = '{row['key']}'")
            rows = self.audit(code=1)
            self.assertEqual([finding["offset"] for finding in named(rows, "missing")], [30])
            self.assertIn(f"{self.records}/0/{taken}", named(rows, "missing")[0]["detail"])
        self.sql(f"update deja.keys_1 set \"offset\" = 30 where key = '{row['key']}'")

    def a_lost_dead_letter(self):
        self.sql("create table saved as select * from deja.dead_letters; delete from deja.dead_letters where cause in ('conflict', 'key_missing')")
        rows = self.audit(code=1)
        self.sql("delete from deja.dead_letters; insert into deja.dead_letters overriding system value select * from saved; drop table saved")
        self.assertEqual((summed(rows)["missing"], summed(rows)["orphaned"]), (3, 3), "and their events in the dead-letter topic have no cause")

    def a_missing_event(self):
        gone = []

        def without_one(events):
            if gone or len(events) < 5:
                return events
            gone.append(number(events[3]))
            return events[:3] + events[4:]

        rows = self.with_events(without_one)
        self.assertEqual(summed(rows)["missing"], 1)
        (finding,) = named(rows, "missing")
        self.assertEqual((finding["what"], finding["number"]), ("event", gone[0]))

    def a_phantom_event(self):
        text = str(uuid.uuid4()).encode()
        duplicate = next(row for row in self.cluster.read(self.records) if row.offset > 39 and (KEY, b"r0") in row.headers)
        sources = {f"{self.records}/0/{duplicate.offset}": "has no effect", f"{self.records}/0/999999": "not consumed"}
        for source, words in sources.items():
            lane = self.lane_of(source)

            def with_phantom(events, source=source, lane=lane):
                of_lane = [event for event in events if number(event).split("/")[1] == lane]
                return events + [event._replace(headers=replaced(replaced(event.headers, "deja-event-id", text), "deja-source", source.encode()))
                                 for event in of_lane[:1]]

            rows = self.with_events(with_phantom)
            self.assertGreaterEqual(summed(rows)["orphaned"], 1, source)
            self.assertIn(words, named(rows, "orphaned")[0]["detail"])
            self.assertEqual((summed(rows)["missing"], summed(rows)["doubled"]), (0, 0), "listed, but no failure")

    def lane_of(self, source):
        topic, partition, _ = source.rsplit("/", 2)
        return str(self.database.value(f"select id from deja.lanes where topic = '{topic}' and partition = {partition}"))

    def a_doubled_event(self):
        rows = self.with_events(lambda events: events + [events[2]._replace(headers=replaced(events[2].headers, "deja-event-id", str(uuid.uuid4()).encode()))]
                                if events and events[0].partition == 0 else events)
        self.assertEqual(summed(rows)["doubled"], 1)
        (finding,) = named(rows, "doubled")
        self.assertEqual((finding["what"], finding["key"] is not None), ("event", True))

    def a_repeated_event(self):
        rows = self.with_events(lambda events: events + events[1:4])
        self.assert_counts(rows, **self.clean)

    def swapped_events(self):
        swapped = []

        def swap(events):
            for at, first in enumerate(events):
                for later in range(at + 1, len(events)):
                    same = (first.key, number(first).split("/")[1]) == (events[later].key, number(events[later]).split("/")[1])
                    if same and not swapped:
                        swapped.append(number(first))
                        events[at], events[later] = events[later], events[at]
                        return events
            return events

        rows = self.with_events(swap)
        self.assertGreaterEqual(summed(rows)["misordered"], 1)
        self.assertIn(swapped[0], [finding["number"] for finding in named(rows, "misordered")])

    def an_event_lost_before_it_was_published(self):
        self.sql("update deja.lanes set next_event_seq = next_event_seq + 1 where partition = 0")
        rows = self.audit(code=1)
        self.sql("update deja.lanes set next_event_seq = next_event_seq - 1 where partition = 0")
        self.assertEqual(summed(rows)["missing"], 1)
        self.assertIn("not in the outbox", named(rows, "missing")[0]["detail"])

    def an_event_of_a_restored_database(self):
        self.sql("update deja.lanes set next_event_seq = next_event_seq - 2, published_seq = published_seq - 2 where partition = 1")
        rows = self.audit(code=0)
        self.sql("update deja.lanes set next_event_seq = next_event_seq + 2, published_seq = published_seq + 2 where partition = 1")
        self.assertEqual(summed(rows)["orphaned"], 2)


class WhenNothingWasSent(AuditTest):
    def test_a_group_that_began_is_clean_and_one_that_did_not_is_not(self):
        records, events = self.topic("probe", 1), self.topic("probe.events", 1)
        settings = self.settings({"app.topics": [records], "app.events.topic": events})
        path = self.write_settings("init.toml", settings)
        self.prepare("--config", path)
        for program, *words in (("deja", "audit", "--group", self.group), ("deja-probe", "--audit", "--config", path)):
            code, _, err = self.once(*words, program=program)
            self.assertEqual(code, 65, err)
            self.assertIn("start the program", err.splitlines()[-1])
        program = self.start(settings)
        wait_until(lambda: self.database.value("select count(*) from deja.lanes") == 1, 60, "the lane's row", program)
        self.drain(program)
        self.assert_counts(self.audit(code=0))


class WhileTheGroupIsRunning(AuditTest):
    def test_what_is_done_is_clean_and_what_is_not_is_not_asked_for(self):
        records, events = self.topic("probe", 3), self.topic("probe.events", 2)
        settings = self.settings({"app.topics": [records], "app.events.topic": events, "batch.max.records": 20})
        self.prepare("--config", self.write_settings("init.toml", settings))
        self.database.run("insert into probe_switches values ('down', true)")

        def each(numbers, do="sleep:2"):
            return [(b"k%d" % (n % 7), script(f"r{n}", do, n), [(KEY, b"r%d" % n)]) for n in numbers]

        self.cluster.produce(records, 0, each(range(300)) + each([300], "unavailable") + each(range(301, 500)))
        self.cluster.produce(records, 1, each(range(500, 1000)))
        self.cluster.produce(records, 2, each(range(1000, 1500)))
        program = self.start(settings)
        wait_until(lambda: self.database.value("select coalesce(max(next_offset), 0) from deja.lanes") > 0, 60, "the first commit", program)
        self.assertLess(summed(self.audit(code=0))["checked"], 1500, "partition 0 waits for its dependency")
        self.database.run("delete from probe_switches")
        wait_until(lambda: summed(self.audit(code=0))["checked"] == 1500, 240, "an audit of all records", program)
        self.await_done([records], program)
        self.drain(program)
        self.assert_counts(self.audit(code=0), checked=1500, processed=1500, events=1500)


class WhenOnlyTheProgramKnowsTheKeys(AuditTest):
    program = "deja-key-function"

    def test_the_command_says_unchecked_and_the_program_proves_it(self):
        functions, fingerprints = self.topic("functions", 1), self.topic("fingerprints", 1)
        settings = self.settings({"app.topics": [functions, fingerprints], "group.id": self.group})
        self.must("migrate", program="deja")
        path = self.write_settings("program.toml", settings)
        self.cluster.produce(functions, 0, [(b"k", value, []) for value in (b"a/1/x", b"a/1/y", b"a/2/x", b"b/1/x", b"c/1/reject", b"")])
        self.cluster.produce(fingerprints, 0, [(b"k", value, [(KEY, b"1")]) for value in (b"a/1/x", b"a/1/y")])
        program = self.start(settings)
        self.await_done([functions, fingerprints], program)
        self.drain(program)
        rows = {row["topic"]: row for row in self.audit(code=1)}
        self.assertEqual((rows[functions]["unchecked"], rows[functions]["dead"], rows[functions]["conflict"]), (3, 2, 1))
        self.assertIn("run PROGRAM --audit", named([rows[functions]], "unchecked")[0]["detail"])
        self.assertEqual((rows[fingerprints]["processed"], rows[fingerprints]["unchecked"], rows[fingerprints]["missing"]), (1, 1, 0))
        own = {row["topic"]: row for row in self.audit("--config", path, program=self.program, code=0)}
        self.assert_counts([own[functions]], checked=6, processed=2, duplicate=1, conflict=1, dead=2)
        self.assert_counts([own[fingerprints]], checked=2, processed=1, duplicate=1)
        other = self.audit("--config", path, "--set", "key.secret=other", program=self.program, code=1)
        self.assertIn("configured here", named(other, "unchecked")[0]["detail"])

    def test_a_strategy_that_was_the_program_s_alone_before_the_change(self):
        topics = [self.topic("functions", 1), self.topic("fingerprints", 1)]
        settings = self.settings({"app.topics": topics, "group.id": self.group})
        self.must("migrate", program="deja")

        def run(settings, values):
            self.cluster.produce(topics[0], 0, [(b"k", value, [(KEY, value)]) for value in values])
            program = self.start(settings)
            self.await_done(topics, program)
            self.drain(program)

        run(settings, [b"a/1/x", b"b/1/x"])
        run(settings | {"app.changed": True}, [b"a/1/y", b"c/1/x", b"c/1/x", b"d/1/reject"])
        path = self.write_settings("program.toml", settings | {"app.changed": True})
        rows = self.audit(code=1)
        self.assert_counts(rows, checked=6, processed=1, dead=1, unchecked=4)  # of the duplicate, too, only the program knows the fingerprint
        self.assertIn("run PROGRAM --audit", named(rows, "unchecked")[0]["detail"])
        rows = self.audit("--config", path, program=self.program, code=0)
        self.assert_counts(rows, checked=6, processed=3, duplicate=2, dead=1)
        self.database.run('delete from deja.keys_1 where "offset" = 0')
        rows = self.audit("--config", path, program=self.program, code=1)
        self.assertEqual([finding["offset"] for finding in named(rows, "missing")], [0, 2], "the record and its duplicate")


if __name__ == "__main__":
    sandbox.main()
