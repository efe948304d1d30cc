"""The oracle of the chaos runs says clean to what is right, and has a sentence for everything that can go wrong."""

import json
import unittest

import probe_oracle
from kafka_wire import Record

TOPIC = "t"


def value(number, do="ok"):
    return json.dumps({"id": f"e{number}", "seq": number, "do": do}).encode()


class World:
    """A log and what a run that is right makes of it; a test then spoils something."""

    def __init__(self):
        self.log, self.effects, self.dead, self.parked, self.events = [], [], [], [], []
        self.add(value(1), "k1", "processed")
        self.add(value(2, "emit:3"), "k2", "processed")
        self.add(value(1), "k1", "duplicate")
        self.add(value(3), "k1", "conflict")
        self.add(value(4, "reject"), "k4", "rejected")
        self.add(value(5, "throw:3"), "k5", "exhausted")
        self.add(value(5, "throw:1"), "k5", "processed")
        self.add(value(6), None, "key_missing")
        self.add(b"{", "k7", "rejected")
        self.add(value(8, "emit:0"), "k8", "processed")
        self.add(value(9, "sql-error"), "k9", "exhausted")

    def add(self, data, key, becomes, record_key=b"r"):
        offset = len(self.log)
        self.log.append(Record(TOPIC, 0, offset, 0, record_key, data, [("Idempotency-Key", key.encode())] if key else []))
        if becomes == "processed":
            script = probe_oracle.Script(data)
            self.effects.append({"n": len(self.effects), "id": script.id, "record_key": "r", "seq": script.seq, "topic": TOPIC, "partition": 0,
                                 "offset": offset, "attempt": 1, "at": 10 * offset})
            for n in range(1, script.events + 1):
                self.event(offset, script, n, f"{offset}-{n}")
        elif becomes != "duplicate":
            self.dead.append({"id": offset, "topic": TOPIC, "partition": 0, "offset": offset, "record_key": "\\x" + record_key.hex(),
                              "value": "\\x" + data.hex(), "cause": becomes, "at": 10 * offset})

    def event(self, offset, script, n, identity):
        data = json.dumps({"id": script.id, "seq": script.seq, "n": n}).encode()
        headers = [("deja-event-id", identity.encode()), ("deja-source", f"{TOPIC}/0/{offset}".encode())]
        self.events.append(Record("e", 0, len(self.events), 0, b"r", data, headers))

    def rows(self, sql):
        return self.effects if "probe_effects" in sql else self.parked if "parked" in sql else self.dead

    def judge(self):
        findings = probe_oracle.Findings()
        outcomes, effects, _, scripts = probe_oracle.check_effects(self.log, self, "g", findings)
        self.repeats = probe_oracle.check_events(self.events, effects, scripts, findings)
        return outcomes, findings


class TheOracle(unittest.TestCase):
    def setUp(self):
        self.world = World()

    def assert_finds(self, words):
        _, findings = self.world.judge()
        self.assertTrue(any(words in finding for finding in findings), f"{words} is not in {list(findings)}")

    def renumber(self):
        self.world.events = [event._replace(offset=at) for at, event in enumerate(self.world.events)]

    def test_finds_nothing_where_all_is_right(self):
        outcomes, findings = self.world.judge()
        self.assertEqual(list(findings), [])
        self.assertEqual(sum(outcomes.values()), len(self.world.log))
        self.assertEqual(outcomes, {"processed": 4, "duplicate": 1, "conflict": 1, "rejected": 2, "exhausted": 2, "key_missing": 1})

    def test_lost_effect(self):
        del self.world.effects[0]
        self.assert_finds("duplicate instead of processed")

    def test_doubled_effect(self):
        self.world.effects.append(dict(self.world.effects[-1]))
        self.assert_finds("doubled effect")

    def test_two_effects_under_one_key(self):
        self.world.effects.insert(1, dict(self.world.effects[0], offset=2))
        self.assert_finds("two effects under one key")

    def test_an_effect_that_was_not_asked_for(self):
        self.world.effects.append(dict(self.world.effects[-1], offset=99))
        self.assert_finds("without a record")

    def test_lost_dead_letter(self):
        del self.world.dead[0]
        self.assert_finds("duplicate instead of conflict")

    def test_effects_out_of_order(self):
        for row, n in zip(self.world.effects, reversed(range(len(self.world.effects)))):
            row["n"] = n
        self.assert_finds("effects of a record key out of order")

    def test_an_effect_before_an_earlier_record_was_dead(self):
        self.world.effects[2]["at"] = self.world.dead[2]["at"] - 1
        self.assert_finds("an effect before an earlier record of its key was dead")

    def test_an_effect_after_a_later_record_was_dead(self):
        self.world.effects[0]["at"] = 1_000
        self.assert_finds("an effect after a later record of its key was dead")

    def test_a_record_that_would_have_healed_is_dead(self):
        self.world.dead[2]["value"] = "\\x" + value(5, "throw:2").hex()
        self.world.log[5] = self.world.log[5]._replace(value=value(5, "throw:2"))
        self.assert_finds("exhausted instead of processed")

    def test_a_record_that_is_still_parked(self):
        self.world.parked.append({"topic": TOPIC, "partition": 0, "offset": 3})
        self.assert_finds("parked at the end")

    def test_a_twin_of_a_dead_record_that_was_parked_is_a_duplicate(self):
        self.world.add(value(9, "sql-error"), "k9", "duplicate")
        _, findings = self.world.judge()
        self.assertEqual(list(findings), [])

    def test_lost_event(self):
        del self.world.events[2]
        self.assert_finds("events that differ from their effect")

    def test_events_out_of_order(self):
        self.world.events[1], self.world.events[2] = self.world.events[2], self.world.events[1]
        self.renumber()
        self.assert_finds("events of a record key out of order")

    def test_an_event_under_two_ids(self):
        script = probe_oracle.Script(self.world.log[0].value)
        self.world.event(0, script, 1, "another")
        self.assert_finds("events that differ from their effect")

    def test_an_event_of_nothing(self):
        self.world.event(77, probe_oracle.Script(value(77)), 1, "ghost")
        self.assert_finds("an event without an effect")

    def test_a_repeat_under_the_same_id_is_counted_and_right(self):
        self.world.events.append(self.world.events[0]._replace(offset=len(self.world.events)))
        _, findings = self.world.judge()
        self.assertEqual(list(findings), [])
        self.assertEqual(self.world.repeats, 1)

    def test_a_repeat_with_another_content(self):
        spoilt = self.world.events[0]._replace(offset=len(self.world.events), value=value(3))
        self.world.events.append(spoilt)
        self.assert_finds("repeated with another content")


if __name__ == "__main__":
    unittest.main()
