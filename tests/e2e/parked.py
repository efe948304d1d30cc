"""An operator and parked records, while the program runs: seen, understood, tried again, moved out of the way; and what the audit and `deja key` say of them."""

import json

import sandbox
from audits import AuditSandbox, named
from probe_records import KEY, script
from programs import wait_until


def record(key, identity, do="ok"):
    return key, script(identity, do), [(KEY, identity.encode())]


class WhenRecordsAreParked(AuditSandbox):
    program = "deja-probe"

    def setUp(self):
        super().setUp()
        self.records, self.events = self.topic("probe", 1), self.topic("probe.events", 1)
        # so long that nothing is tried again by itself
        self.probe_settings = self.settings({"app.topics": [self.records], "app.events.topic": self.events, "retry.max.attempts": 5,
                                             "retry.backoff.base.ms": 86_400_000, "retry.backoff.max.ms": 86_400_000, "retry.deadline.ms": 86_400_000 * 7})
        self.path = self.write_settings("init.toml", self.probe_settings)
        self.prepare("--config", self.path)
        self.cluster.produce(self.records, 0, [
            record(b"a", "a0", "throw:1"), record(b"a", "a1"), record(b"b", "b2", "throw"), record(b"c", "c3", "throw"), record(b"d", "d4"),
            record(b"a", "a0", "throw:1"), record(b"b", "b2", "throw")])  # the last two are twins of parked records
        self.instance = self.start(self.probe_settings)
        self.consumed(7)

    def consumed(self, offset):
        wait_until(lambda: self.database.value("select max(next_offset) from deja.lanes") == offset, 60, f"offset {offset}", self.instance)

    def deja(self, *words, code=0):
        done, out, err = self.once(*words, "--group", self.group, "--output", "json", program="deja")
        self.assertEqual(done, code, f"deja {' '.join(words)}\n{out}{err}")
        return [json.loads(line) for line in out.splitlines()], err

    def change(self, what, *words, code=0):
        return self.deja("parked", what, *words, "--reason", "a test", "--yes", code=code)

    def parked(self):
        return {row["offset"]: row for row in self.deja("parked", "list")[0]}

    def key(self, key):
        (row,) = self.deja("key", key)[0]
        return row

    def effects(self):
        return [row["id"] for row in self.database.rows("select id from probe_effects order by at, seq")]

    def test_they_are_seen_tried_again_and_moved_out_of_the_way(self):
        rows = self.parked()
        self.assertEqual({offset: row["behind"] for offset, row in rows.items()}, {0: None, 1: 0, 2: None, 3: None})
        self.assertEqual([(row["record_key"], row["attempt"], row["cause"]) for row in rows.values()], [("a", 1, "exhausted"), ("a", 0, None), ("b", 1, "exhausted"), ("c", 1, "exhausted")])
        self.assertEqual([row["parked"] for row in self.deja("lanes")[0]], [4])
        self.assertEqual((self.key("a0")["status"], self.key("a0")["offset"], self.key("a1")["status"]), ("parked", 0, "parked"))
        self.assert_audit(checked=7, processed=1, parked=4, duplicate=2, events=1)

        err = self.change("retry", str(rows[1]["id"]), code=65)[1]
        self.assertIn("waits behind offset 0", err.splitlines()[-1])
        (due,), err = self.change("retry", "--filter", "record_key=a", "--expect", "1")
        self.assertEqual((due["offset"], due["outcome"]), (0, "due"))
        self.assertIn("1 more wait", err)
        wait_until(lambda: self.effects() == ["d4", "a0", "a1"], 20, "the two effects in order", self.instance)
        self.assertEqual(self.key("a0")["status"], "processed")

        (dead,), _ = self.change("dead-letter", str(rows[2]["id"]))
        self.assertEqual((dead["outcome"], self.key("b2")["status"], self.key("b2")["dlq_id"]), ("dead", "dead", dead["dlq_id"]))
        (discarded,), _ = self.change("discard", "--all", "--expect", "1")
        self.assertEqual((discarded["offset"], discarded["outcome"]), (3, "discarded"))
        self.assertEqual((self.key("c3")["status"], self.key("c3")["dlq_id"], self.key("c3")["offset"]), ("discarded", discarded["dlq_id"], 3))
        self.assertEqual(self.parked(), {})
        self.change("retry", "--all", "--expect", "1", code=65)

        self.cluster.produce(self.records, 0, [record(b"c", "c3", "throw")])  # takes no effect any more
        self.consumed(8)
        self.drain(self.instance)
        self.assert_audit(checked=8, processed=3, duplicate=3, dead=1, discarded=1, events=3)
        self.assertEqual([row["action"] for row in self.deja("audit-log")[0]], ["parked retry", "parked dead-letter", "parked discard"])
        self.deja("audit-log", "--verify")
        self.lost_dispositions()

    def assert_audit(self, **counts):
        rows = self.audit(code=0)
        self.assert_counts(rows, **counts)
        self.assertEqual(rows, self.audit("--config", self.path, program="deja-probe", code=0))

    def lost_dispositions(self):
        self.database.run('create table saved as select * from deja.dead_letters; delete from deja.dead_letters where "offset" = 2')
        rows = self.audit(code=1)
        self.assertEqual([finding["offset"] for finding in named(rows, "missing")], [2, 6], "the record, and the duplicate that has no other proof")
        self.database.run('delete from deja.dead_letters; insert into deja.dead_letters overriding system value select * from saved')
        self.database.run("delete from deja.keys_1 where \"offset\" = 4")
        self.assertEqual([finding["offset"] for finding in named(self.audit(code=1), "missing")], [4])


if __name__ == "__main__":
    sandbox.main()
