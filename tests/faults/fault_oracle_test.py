"""The oracle of the fault tests says clean to what is right, and has a sentence for what redelivery can do wrong. Needs no server."""

import json
import unittest

import fault_oracle
from kafka_wire import Record
from payments_oracle import Findings

TOPIC = "t"


class TheOracle(unittest.TestCase):
    def setUp(self):
        self.log, self.effects, self.letters, self.parked = [], [], [], []
        self.add("a0", "throw:2", "k0", "processed")
        self.add("a1", "throw", "k1", "exhausted")
        self.add("a1", "throw", "k1", "duplicate")  # while the one before was parked
        self.add("a3", "ok", "k3", "processed")
        self.add("a4", "reject", "k4", "rejected")
        self.add("a5", "ok", "k5", "processed")
        self.add("a5", "ok", "k5", "duplicate")

    def add(self, name, do, key, becomes):
        offset, moment = len(self.log), 10 * len(self.log)
        value = json.dumps({"id": name, "seq": 0, "do": do}).encode()
        self.log.append(Record(TOPIC, 0, offset, 0, b"r", value, [("Idempotency-Key", key.encode())]))
        row = {"topic": TOPIC, "partition": 0, "offset": offset, "at": moment}
        if becomes == "processed":
            self.effects.append(row | {"n": offset, "id": name, "seq": 0, "record_key": "r"})
        elif becomes != "duplicate":
            self.letters.append(row | {"cause": becomes})

    def rows(self, sql):
        return self.effects if "probe_effects" in sql else self.parked if "parked" in sql else self.letters

    def judge(self, attempts=3):
        findings = Findings()
        outcomes, _ = fault_oracle.check_dispositions(self.log, self, findings, "g", attempts)
        return outcomes, list(findings)

    def assert_finds(self, words, attempts=3):
        found = self.judge(attempts)[1]
        self.assertTrue(any(words in finding for finding in found), f"{words} is not in {found}")

    def test_finds_nothing_where_all_is_right(self):
        outcomes, findings = self.judge()
        self.assertEqual(findings, [])
        self.assertEqual(outcomes, {"processed": 3, "exhausted": 1, "rejected": 1, "duplicate": 2})

    def test_finds_nothing_where_a_dead_records_key_is_another_ones_now(self):
        self.add("other", "ok", "k1", "processed")  # waited behind it
        self.assertEqual(self.judge()[1], [])

    def test_finds_nothing_where_a_parked_record_with_a_twin_lost_its_key(self):
        self.add("a7", "throw:1", "k7", "conflict")
        self.add("a7", "throw:1", "k7", "duplicate")
        self.add("other", "ok", "k7", "processed")
        self.log = [each._replace(key=None) if each.offset > 6 else each for each in self.log]  # so it did not wait
        self.assertEqual(self.judge()[1], [])

    def test_a_conflict_taken_for_a_duplicate(self):
        self.add("other", "ok", "k3", "conflict")
        self.add("other", "ok", "k3", "duplicate")
        self.assert_finds("a duplicate with another value")

    def test_lost_effect(self):
        del self.effects[0]
        self.assert_finds("a record without a disposition")
        self.assert_finds("a key without its effect")

    def test_doubled_effect(self):
        self.effects.append(dict(self.effects[0], n=99))
        self.assert_finds("doubled effect")

    def test_effects_out_of_order(self):
        self.effects[0]["n"] = 50
        self.assert_finds("effects of a record key out of order")

    def test_a_follower_that_overtook_a_failing_record(self):
        self.effects[1]["at"] = self.letters[0]["at"] - 1
        self.assert_finds("an effect before an earlier record of its key was dead")

    def test_a_record_that_is_dead_and_was_overtaken(self):
        self.letters[1]["at"] = self.effects[0]["at"] - 1
        self.assert_finds("an effect after a later record of its key was dead")

    def test_an_effect_and_a_dead_letter(self):
        self.letters.append({"topic": TOPIC, "partition": 0, "offset": 3, "at": 30, "cause": "exhausted"})
        self.assert_finds("an effect and a dead letter")

    def test_a_lost_dead_letter(self):
        del self.letters[1]
        self.assert_finds("a record without a disposition")

    def test_a_record_that_is_dead_with_an_attempt_left(self):
        self.letters.append({"topic": TOPIC, "partition": 0, "offset": 0, "at": 0, "cause": "exhausted"})
        del self.effects[0]
        self.assert_finds("a record that is dead without a fault")

    def test_one_attempt_too_many(self):
        self.assert_finds("an effect of a record that can have none", attempts=2)

    def test_a_wrong_cause(self):
        self.letters[1]["cause"] = "exhausted"
        self.assert_finds("dead of exhausted instead of rejected")

    def test_a_record_that_is_still_parked(self):
        self.parked.append({"topic": TOPIC, "partition": 0, "offset": 3})
        self.assert_finds("parked at the end")

    def test_a_twin_that_took_effect_too(self):
        self.effects.append(dict(self.effects[2], offset=6, n=6, at=60))
        self.assert_finds("a key with two effects")


if __name__ == "__main__":
    unittest.main()
