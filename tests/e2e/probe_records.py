"""deja-probe: records of any bytes, and a handler that goes wrong in each way it can; every record has one disposition, stored as
bytes, and the partition moves on."""

import json
from base64 import b64decode

import sandbox
from payments_oracle import as_bytes, header
from sandbox import Sandbox

KEY = "Idempotency-Key"


def script(identity, do="ok", seq=1):
    return json.dumps({"id": identity, "seq": seq, "do": do}).encode()


def field_bytes(field):
    if isinstance(field, dict):
        return b64decode(field["base64"])
    return None if field is None else field.encode()


def as_stored(headers):
    """Headers of a record as bytes throughout, the names too."""
    return [(name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape"), value) for name, value in headers]


class ProbeTest(Sandbox):
    program = "deja-probe"

    def setUp(self):
        super().setUp()
        self.records = self.topic("probe", 2)
        self.events = self.topic("probe.events", 2)
        self.dead = self.topic("probe.dlq", 1)
        self.probe_settings = self.settings({"app.topics": [self.records], "app.events.topic": self.events, "dlq.topic": self.dead})
        self.prepare("--config", self.write_settings("init.toml", self.probe_settings))

    def run_over(self, records, **more):
        """Sends the records to partition 0, one batch each so that large ones fit, and runs the probe until all are done."""
        for record in records:
            self.cluster.produce(self.records, 0, [record])
        program = self.start(self.probe_settings | more)
        self.await_done([self.records], program)
        metrics = self.scrape()
        self.drain(program)
        return metrics

    def effects(self):
        return {row["offset"]: row for row in self.database.rows(
            f"select * from probe_effects where topic = '{self.records}'")}

    def letters(self):
        rows = self.database.rows(f"select * from deja.dead_letters where group_id = '{self.group}'")
        found = {row["offset"]: row for row in rows}
        self.assertEqual(len(found), len(rows), "one dead letter for a record")
        return found

    def check_one_disposition_each(self, count, duplicates=()):
        effects = self.database.rows(f"select \"offset\" from probe_effects where topic = '{self.records}'")
        letters = self.letters()
        places = sorted([row["offset"] for row in effects] + list(letters) + list(duplicates))
        self.assertEqual(places, list(range(count)))


class WhenRecordsHoldAnyBytes(ProbeTest):
    def test_each_is_stored_as_it_came_and_the_partition_moves_on(self):
        big = b"x" * 1_048_000  # just under what the broker takes by default
        many = [(f"h{number}", b"v" if number % 3 else None) for number in range(5000)]
        odd = b"\x00\xff\xfe\x80key"
        records = [  # (key, value, headers), what becomes of it
            ((b"k", None, [(KEY, b"1")]), "rejected"),
            ((b"", b"", [(KEY, b"2")]), "rejected"),
            ((None, big, [(KEY, b"3")]), "rejected"),
            ((odd, b"\x00\x01\xff\xc3\x28", [(KEY, b"4"), ("n\u00e4me", b"\xff\x00"), ("", b""), ("null", None)]), "rejected"),
            ((b"k", b"\xed\xa0\x80", many + [(KEY, b"5")]), "rejected"),
            ((b"k", b"[" * 200_000, [(KEY, b"6")]), "rejected"),
            ((b"k", script("six\0"), [(KEY, b"7")]), "rejected"),
            ((b"k", script("none"), []), "key_missing"),
            ((b"k", script("empty"), [(KEY, b"")]), "key_missing"),
            ((b"k", script("null"), [(KEY, None)]), "key_missing"),
            ((b"k", script("last-is-null"), [(KEY, b"8"), (KEY, None)]), "key_missing"),
            ((b"k", script("other-case"), [(KEY.lower(), b"9")]), "key_missing"),
            ((None, script("no-record-key"), [(KEY, b"10")]), "processed"),
            ((b"", script("empty-record-key"), [(KEY, b"11")]), "processed"),
            ((odd, script("odd-record-key"), [(KEY, b"12")]), "processed"),
            ((b"k", script("binary-key"), [(KEY, b"\x00\xff\xfe")]), "processed"),
            ((b"k", script("long-key"), [(KEY, b"k" * 100_000)]), "processed"),
            ((b"k", script("many-headers"), many + [(KEY, b"13")]), "processed"),
            ((b"k", script("last-wins"), [(KEY, b"10"), (KEY, b"14")]), "processed"),
            ((b"k" * 100_000, script("long-record-key"), [(KEY, b"15")]), "processed"),
            ((b"k", script("reserved"), [(KEY, b"16"), ("deja-event-id", b"forged"), ("__dlq.errors.topic", b"forged")]), "processed"),
            ((b"k", script("binary-key"), [(KEY, b"\x00\xff\xfe")]), "duplicate"),
            ((b"k", script("binary-key-other"), [(KEY, b"\x00\xff\xfe")]), "conflict"),
        ]
        metrics = self.run_over([record for record, _ in records])
        effects, letters = self.effects(), self.letters()
        duplicates = [offset for offset, (_, outcome) in enumerate(records) if outcome == "duplicate"]
        self.check_one_disposition_each(len(records), duplicates)
        for offset, ((key, value, headers), outcome) in enumerate(records):
            with self.subTest(offset=offset, outcome=outcome):
                if outcome == "processed":
                    self.assertIn(offset, effects)
                elif outcome != "duplicate":
                    letter = letters[offset]
                    self.assertEqual(letter["cause"], outcome)
                    self.assertEqual(as_bytes(letter["record_key"]), key)
                    self.assertEqual(as_bytes(letter["value"]), value)
                    stored = letter["headers"] if isinstance(letter["headers"], list) else json.loads(letter["headers"])
                    self.assertEqual([(field_bytes(name), field_bytes(data)) for name, data in stored], as_stored(headers))

        wanted = {}
        for _, outcome in records:
            word = "dead" if outcome in ("rejected", "key_missing") else outcome
            wanted[word] = wanted.get(word, 0) + 1
        self.assertEqual(metrics.by("deja_records_total", "disposition"), wanted)

        # Every dead letter is told, those too whose body or headers the topic cannot take.
        told = {header(record, "deja-dlq-id"): record for record in self.cluster.read(self.dead)}
        self.assertEqual(set(told), {str(letter["id"]) for letter in letters.values()})
        for letter in letters.values():
            record = told[str(letter["id"])]
            if letter["size"] < 100_000:
                self.assertEqual((record.key, record.value), (as_bytes(letter["record_key"]), as_bytes(letter["value"])))

        # One event for each effect, under the record's own key and an id of deja's.
        events = self.cluster.read(self.events)
        self.assertEqual({header(event, "deja-source") for event in events}, {f"{self.records}/0/{offset}" for offset in effects})
        for event in events:
            offset = int(header(event, "deja-source").split("/")[-1])
            self.assertEqual(event.key, records[offset][0][0])
            self.assertNotEqual(header(event, "deja-event-id"), "forged")
        self.assertEqual(len({header(event, "deja-event-id") for event in events}), len(effects))


class WhenTheHandlerGoesWrong(ProbeTest):
    # what the record asks for, the cause of its dead letter, words of the error
    KINDS = [
        ("throw", "exhausted", "told to throw"),
        ("reject", "rejected", "told to reject"),
        ("sql-error", "exhausted", "division by zero"),
        ("swallow-sql-error", "exhausted", "caught an SQL error"),
        ("commit", "exhausted", "commit"),
        ("no-such-thing", "rejected", "do is not a known action"),
        ("emit", "rejected", "do lacks its number"),
    ]
    QUICK = {"retry.max.attempts": 2, "retry.backoff.base.ms": 1, "retry.backoff.max.ms": 5, "flood.ratio": 1.0}

    def records_of(self, kinds):
        """Each wrong one between two that are right, all of one record key but the wrong ones."""
        records = []
        for number, (do, _, _) in enumerate(kinds):
            records.append((b"good", script(f"good-{number}", seq=number), [(KEY, f"good-{number}".encode())]))
            records.append((f"bad-{number}".encode(), script(f"bad-{number}", do), [(KEY, f"bad-{number}".encode())]))
        return records + [(b"good", script("last", seq=len(kinds)), [(KEY, b"last")])]

    def check_kinds(self, kinds, records, metrics):
        letters, effects = self.letters(), self.effects()
        self.check_one_disposition_each(len(records))
        for number, (do, cause, words) in enumerate(kinds):
            with self.subTest(do=do):
                letter = letters[2 * number + 1]
                self.assertEqual(letter["cause"], cause)
                self.assertIn(words, letter["error"].lower() if words == words.lower() else letter["error"])
                self.assertEqual(as_bytes(letter["value"]), records[2 * number + 1][1])
                self.assertIn(2 * number, effects)
        self.assertEqual(len(effects), len(kinds) + 1)
        order = self.database.rows("select seq from probe_effects where record_key = 'good' order by \"offset\"")
        self.assertEqual([row["seq"] for row in order], list(range(len(kinds) + 1)))
        # Events of the effects alone: what a failed handler emitted is gone with it.
        events = [json.loads(event.value)["id"] for event in self.cluster.read(self.events)]
        self.assertEqual(sorted(events), sorted(row["id"] for row in effects.values()))
        self.assertEqual(metrics.sum("deja_records_total", disposition="dead"), len(kinds))
        self.assertEqual(metrics.sum("deja_records_total", disposition="processed"), len(kinds) + 1)

    def test_every_kind_in_one_batch_ends_as_a_dead_letter_with_cause_and_message(self):
        records = self.records_of(self.KINDS)
        metrics = self.run_over(records, **self.QUICK)
        self.check_kinds(self.KINDS, records, metrics)

    def test_every_kind_in_a_batch_of_its_own(self):
        records = self.records_of(self.KINDS)
        metrics = self.run_over(records, **self.QUICK, **{"batch.max.records": 1})
        self.check_kinds(self.KINDS, records, metrics)

    def test_a_handler_that_ends_the_transaction_leaves_nothing_half_done(self):
        kinds = [("commit", "exhausted", "commit")] * 5 + [("swallow-sql-error", "exhausted", "caught an SQL error")] * 5
        records = self.records_of(kinds)
        metrics = self.run_over(records, **self.QUICK)
        self.check_kinds(kinds, records, metrics)
        # Their keys are not taken: the same key with a harmless script still takes effect.
        again = [(record[0], script(f"again-{number}"), record[2]) for number, record in enumerate(records) if record[0] != b"good"]
        self.run_over(again, **self.QUICK)
        self.assertEqual(self.database.value("select count(*) from probe_effects where id like 'again-%'"), len(again))


class WhenTheHandlerIsTold(ProbeTest):
    def test_slow_and_large_and_many_work(self):
        doings = ["sleep:20", "slow-sql:20", "emit:0", "emit:25", "emit-big:600000", "unavailable", "ok"]
        records = [(b"k", script(f"r{number}", do, number), [(KEY, str(number).encode())]) for number, do in enumerate(doings)]
        self.run_over(records)
        self.check_one_disposition_each(len(records))
        self.assertEqual(len(self.effects()), len(records))
        events = self.cluster.read(self.events)
        by_id = {}
        for event in events:
            self.assertEqual(event.key, b"k")
            by_id.setdefault(json.loads(event.value)["id"], []).append(event)
        self.assertNotIn("r2", by_id)
        self.assertEqual([json.loads(event.value)["n"] for event in by_id["r3"]], list(range(1, 26)))
        self.assertEqual([len(event.value) for event in by_id["r4"]], [600_000])
        self.assertEqual(len(events), 1 + 1 + 25 + 1 + 1 + 1)
        self.assertEqual(len({header(event, "deja-event-id") for event in events}), len(events))


if __name__ == "__main__":
    sandbox.main()
