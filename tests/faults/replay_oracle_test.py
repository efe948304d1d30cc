"""The oracle of the replay storms says clean to what is right, and has a sentence for each thing that may not be. Needs no server."""

import json
import types
import unittest

import replay_oracle
from kafka_wire import Record
from payments_oracle import Findings

TOPIC = "t"


class TheOracle(unittest.TestCase):
    """Records of one ordering key: 0 dies, is replayed and fails, is edited and replayed once more; 1 runs meanwhile; 2 is its twin; 3 dies,
    is discarded, restored and discarded; 4 has another payload under the key of 1; 5 is tried twice, and 6 waits behind it."""

    def setUp(self):
        self.log, self.told, self.n, self.tx = [], [], 0, 0
        self.effects, self.history, self.letters, self.edits, self.parked, self.actions, self.items = [], [], [], [], [], [], []
        for name, do, key in (("a0", "reject", "k0"), ("a1", "ok", "k1"), ("a1", "ok", "k1"), ("a3", "throw", "k3"), ("a4", "ok", "k1"), ("a5", "throw:1", "k5"), ("a6", "ok", "k6")):
            value = json.dumps({"id": name, "seq": 0, "do": do}).encode()
            self.log.append(Record(TOPIC, 0, len(self.log), 0, b"r", value, [("Idempotency-Key", key.encode())]))
        self.dies(0, "rejected")
        self.takes_effect(1)
        self.dies(3, "exhausted")
        self.replay(1, 0)
        self.begin()
        self.write("parked", 0, after="gone")
        self.item(1, 0, "parked", "failed")
        self.status(0, "replaying", "open", cause="rejected", again=True)
        self.edit(0, "ok")
        self.replay(2, 0)
        self.ends_well(2, 0)
        for before, after in (("open", "discarded"), ("discarded", "open"), ("open", "discarded")):
            self.begin()
            self.status(3, before, after)
        self.dies(4, "conflict")
        self.begin()
        self.status(4, "open", "discarded")
        self.begin()
        self.write("parked", 5, after="there")
        self.write("parked", 6, after="there")
        self.begin()
        for offset in (5, 6):
            self.effect(offset, attempt=2)
            self.write("parked", offset, after="gone")
        self.actions += [{"id": n, "kind": "replay", "state": "done", "accepted": 1} for n in (1, 2)]

    # --- what happens

    def begin(self):
        self.tx += 1

    def write(self, what, offset, **more):
        self.n += 1
        row = {"n": self.n, "tx": str(self.tx), "what": what, "topic": TOPIC, "partition": 0, "offset": offset, "letter": None, "action": None, "before": None, "after": None,
               "cause": None, "replays": None, "again": None} | more
        self.history.append(row)
        return row

    def effect(self, offset, attempt=1):
        self.n += 1
        script = json.loads(self.log[offset].value)
        self.effects.append({"n": self.n, "tx": str(self.tx), "id": script["id"], "seq": 0, "record_key": "r", "topic": TOPIC, "partition": 0, "offset": offset, "attempt": attempt})

    def takes_effect(self, offset):
        self.begin()
        self.effect(offset)

    def letter(self, offset):
        return next(row for row in self.letters if row["offset"] == offset)

    def dies(self, offset, cause):
        self.begin()
        self.letters.append({"id": 10 + offset, "topic": TOPIC, "partition": 0, "offset": offset, "status": "open", "cause": cause, "replays": 0,
                             "value": "\\x" + self.log[offset].value.hex(), "headers": []})
        self.status(offset, None, "open", cause)

    def status(self, offset, before, after, cause=None, again=False):
        letter = self.letter(offset)
        letter["status"] = after
        self.write("letter", offset, letter=letter["id"], before=before, after=after, cause=cause or letter["cause"], replays=letter["replays"], again=again)
        if after != "replaying":
            status = [("deja-dlq-status", after.encode())] if after != "open" or before == "discarded" else []
            headers = [("deja-dlq-id", b"%d" % letter["id"]), ("deja-dlq-cause", (cause or "").encode()), ("deja-dlq-replays", b"%d" % letter["replays"]), ("deja-event-id", b"%d" % self.n), *status]
            self.told.append(Record("told", 0, len(self.told), 0, b"r", b"", headers))

    def item(self, action, offset, before, after):
        letter = self.letter(offset)
        self.items = [row for row in self.items if (row["action_id"], row["dead_letter"]) != (action, letter["id"])] + [{"action_id": action, "dead_letter": letter["id"], "state": after}]
        self.write("item", offset, letter=letter["id"], action=action, before=before, after=after)

    def queue(self, action, *offsets):
        self.begin()
        for offset in offsets:
            self.letter(offset)["replays"] += 1
            self.status(offset, "open", "replaying")
            self.item(action, offset, None, "queued")

    def feed(self, action, offset):
        self.begin()
        self.item(action, offset, "queued", "parked")
        self.write("parked", offset, after="there")

    def replay(self, action, offset):
        self.queue(action, offset)
        self.feed(action, offset)

    def ends_well(self, action, offset):
        self.takes_effect(offset)
        self.write("parked", offset, after="gone")
        self.item(action, offset, "parked", "done")
        self.status(offset, "replaying", "replayed")

    def edit(self, offset, do):
        letter = self.letter(offset)
        script = json.loads(self.log[offset].value) | {"do": do}
        self.edits.append({"dead_letter": letter["id"], "value": letter["value"]})
        letter["value"] = "\\x" + json.dumps(script).encode().hex()

    # --- judged

    def judge(self, hold=False):
        findings = Findings()
        facts = types.SimpleNamespace(**{name: getattr(self, name) for name in ("effects", "history", "letters", "edits", "parked", "actions", "items")})
        outcomes = replay_oracle.check(self.log, facts, hold, self.told, findings)
        return [outcomes[place] for place in sorted(outcomes)], list(findings)

    def assert_finds(self, words, hold=False):
        found = self.judge(hold)[1]
        self.assertTrue(any(words in finding for finding in found), f"{words} is not in {found}")

    def test_finds_nothing_where_all_is_right(self):
        outcomes, findings = self.judge()
        self.assertEqual(findings, [])
        self.assertEqual(outcomes, ["processed", "processed", "duplicate", "discarded", "discarded", "processed", "processed"])

    def test_the_same_is_wrong_where_dead_letters_hold(self):
        self.assert_finds("an effect before an earlier record of its key that was dead and holds", hold=True)

    def test_a_doubled_effect(self):
        self.takes_effect(1)
        self.assert_finds("doubled effect")

    def test_two_effects_under_one_key(self):
        self.takes_effect(4)
        self.assert_finds("a key with two effects")
        self.assert_finds("an effect of a dead letter that is discarded")

    def test_a_lost_record(self):
        del self.effects[0]
        self.assert_finds("a record without a disposition")

    def test_a_replay_that_did_well_without_an_effect(self):
        self.effects = [row for row in self.effects if row["offset"] != 0]
        self.assert_finds("a replayed dead letter without an effect")

    def test_an_effect_that_nobody_edited_into_being(self):
        self.edits, self.letter(0)["value"] = [], "\\x" + self.log[0].value.hex()
        self.assert_finds("an effect of a record that can have none")

    def test_one_attempt_too_few(self):
        self.effects[-2]["attempt"] = 1
        self.assert_finds("an effect of a record that can have none")

    def test_a_record_that_is_dead_without_a_fault(self):
        self.dies(2, "exhausted")
        self.assert_finds("a record that is dead without a fault of cause exhausted")

    def test_a_conflict_with_nothing(self):
        self.dies(6, "conflict")
        self.assert_finds("a record that is dead without a fault of cause conflict")

    def test_a_key_that_an_edit_gives_counts(self):
        self.log.append(self.log[6]._replace(offset=7, headers=[]))
        self.dies(7, "key_missing")
        self.letter(7)["headers"] = [["Idempotency-Key", "k6"]]
        for action in (3, 4):
            self.replay(action, 7)
            self.actions.append({"id": action, "kind": "replay", "state": "done", "accepted": 1})
            if action == 3:
                self.begin()
                self.write("parked", 7, after="gone")
                self.item(3, 7, "parked", "failed")
                self.status(7, "replaying", "open", cause="key_missing", again=True)
        kept = self.history[:], self.told[:], self.items[:]
        self.ends_well(4, 7)
        self.assert_finds("a key with two effects")
        self.history, self.told, self.items = kept
        self.effects.pop()
        self.begin()
        self.write("parked", 7, after="gone")
        self.item(4, 7, "parked", "done")
        self.status(7, "replaying", "replayed")
        self.assertEqual(self.judge()[1], [], "a duplicate of 6")

    def test_a_dead_letter_that_is_open_at_the_end(self):
        self.begin()
        self.status(3, "discarded", "open")
        self.assert_finds("a dead letter that is open at the end")

    def test_an_effect_that_passes_a_parked_record(self):
        self.effects[-2]["tx"] = self.effects[-1]["tx"] = "between"  # before the rows of 5 and 6 go
        self.history[-2]["n"], self.history[-1]["n"] = 1001, 1002
        self.assert_finds("an effect before an earlier record of its key that was parked")

    def test_effects_of_a_run_out_of_order(self):
        self.effects[-1]["n"], self.effects[-2]["n"] = self.effects[-2]["n"], self.effects[-1]["n"]
        self.assert_finds("effects of one transaction out of order")

    def test_a_record_that_was_passed_before_it_was_consumed(self):
        self.begin()
        self.write("parked", 2, after="there")
        self.write("parked", 2, after="gone")
        self.assert_finds("a record that was passed before it was consumed")

    def test_a_dead_letter_in_two_replays(self):
        self.begin()
        self.item(3, 4, None, "queued")
        self.item(4, 4, None, "queued")
        self.assert_finds("a dead letter in two replays at one time")
        self.assert_finds("an item of a replay that is queued at the end")

    def test_letters_that_were_fed_out_of_order(self):
        self.begin()
        for offset in (3, 4):
            self.item(3, offset, None, "queued")
        self.begin()
        self.item(3, 4, "queued", "parked")
        self.assert_finds("a dead letter that was fed before an earlier one of its key")

    def test_replays_that_are_counted_wrong(self):
        self.letter(0)["replays"] += 1
        self.assert_finds("a dead letter that counts another number of replays")

    def test_a_replay_that_is_not_over(self):
        self.actions[0]["state"] = "running"
        self.assert_finds("a replay that is running at the end")

    def test_a_letter_that_goes_where_it_cannot(self):
        self.begin()
        self.write("letter", 0, letter=10, before="replayed", after="open", cause="rejected", replays=2, again=False)
        self.assert_finds("a dead letter that went from replayed to open")

    def test_a_record_that_is_still_parked(self):
        self.parked.append({"topic": TOPIC, "partition": 0, "offset": 5})
        self.assert_finds("a record that is parked at the end")

    def test_something_that_the_topic_was_not_told(self):
        for gone in range(len(self.told)):
            with self.subTest(gone):
                kept, self.told = self.told, self.told[:gone] + self.told[gone + 1:]
                self.assert_finds("a dead letter of which the topic was told otherwise")
                self.told = kept

    def test_something_that_the_topic_was_told_too_early(self):
        self.told[-1], self.told[0] = self.told[-1]._replace(offset=0), self.told[0]._replace(offset=99)
        self.assert_finds("a dead letter of which the topic was told otherwise")


if __name__ == "__main__":
    unittest.main()
