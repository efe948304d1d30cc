"""R5, D1 with dlq.order = hold: what comes after a dead letter of its ordering key waits until an operator discards that one."""

import json
import signal

from fault_sandbox import FaultTest, main, record, script, wait_until
from programs import http_get

HOLD = {"dlq.order": "hold", "retry.max.attempts": 1, "flood.ratio": 1.0}


class WhenDeadLettersHold(FaultTest):
    def put(self, *records):
        return self.cluster.produce(self.records, 0, list(records))

    def start(self, more=None, **options):
        return super().start(HOLD | (more or {}), **options)

    def offsets(self, table, where="true"):
        return [row["offset"] for row in self.database.rows(f"select \"offset\" from deja.{table} where group_id = '{self.group}' and {where} order by 1")]

    def parked(self):
        return self.offsets("parked")

    def open(self):
        return self.offsets("dead_letters", "status = 'open'")

    def made(self):
        return [row["id"] for row in self.database.rows("select id from probe_effects order by n")]

    def await_consumed_all(self, count, *programs):
        wait_until(lambda: self.next_offsets().get(0) == count, 60, f"{count} consumed records", *programs)

    def await_made(self, *ids):
        wait_until(lambda: len(self.made()) >= len(ids), 60, f"{len(ids)} effects")
        self.assertEqual(self.made(), list(ids))

    def letter(self, offset):
        return self.database.value(f"select id from deja.dead_letters where group_id = '{self.group}' and \"offset\" = {offset}")

    def deja(self, *words):
        return self.once(*words, "--group", self.group, "--output", "json", program="deja")

    def discard(self, *offsets):
        out = self.must("dlq", "discard", *(str(self.letter(o)) for o in offsets), "--reason", "a ticket", "--yes", "--group", self.group, "--output", "json", program="deja")
        (row,) = map(json.loads, out.splitlines())
        return row

    def hold_one(self, more=None):
        """a0 is dead, a2 and a3 wait behind it."""
        self.put(record("a0", "reject", 0, b"a"), record("b1", "ok", 1, b"b"), record("a2", "ok", 2, b"a"), record("a3", "emit:2", 3, b"a"))
        program = self.start(more)
        self.await_consumed_all(4, program)
        self.assertEqual((self.made(), self.open(), self.parked()), (["b1"], [0], [2, 3]))
        return program

    def test_R5_what_follows_a_dead_letter_waits_and_runs_in_order_when_it_is_discarded(self):
        program = self.hold_one()
        self.put(record("a4", "ok", 4, b"a"), record("b5", "ok", 5, b"b"))
        self.await_made("b1", "b5")
        done = self.discard(0)
        self.assertEqual((done["matched"], done["accepted"], done["refused"]), (1, 1, 0))
        self.await_made("b1", "b5", "a2", "a3", "a4")
        self.put(record("a6", "ok", 6, b"a"), record("a0", "reject", 0, b"a"))
        self.await_done([self.records], program)
        self.drain(program)
        self.assertEqual(self.made(), ["b1", "b5", "a2", "a3", "a4", "a6"], "nobody waits any more, and B4: its key is taken by the discard")
        self.assertEqual(self.check(letters=1)[0], {"processed": 6, "rejected": 1, "duplicate": 1})
        (entry,) = self.database.rows("select action, reason, detail from deja.audit_log where action = 'dlq discard'")
        self.assertEqual((entry["reason"], entry["detail"]["records"]), ("a ticket", [{"id": self.letter(0), "offset": 0}]))
        code, out, error = self.deja("audit")
        self.assertEqual(code, 0, out + error)

    def test_R5_one_that_dies_of_its_attempts_goes_on_to_hold(self):
        self.put(record("a0", "throw", 0, b"a"), record("a1", "ok", 1, b"a"))
        program = self.start({"retry.max.attempts": 3})
        wait_until(lambda: self.open() == [0], 60, "the dead letter", program)
        self.put(record("a2", "ok", 2, b"a"), record("b3", "ok", 3, b"b"))
        self.await_made("b3")
        self.assertEqual(self.parked(), [1, 2])
        self.discard(0)
        self.await_made("b3", "a1", "a2")
        self.drain(program)

    def test_R5_a_dead_letter_in_the_midst_of_those_that_wait_holds_what_is_behind_it_alone(self):
        self.put(record("a0", "throw:1", 0, b"a"), record("a1", "ok", 1, b"a"), (b"a", script("a2", "ok", 2), []), record("a3", "ok", 3, b"a"), record("b", "ok", 4, b"b"))
        program = self.start({"retry.max.attempts": 3, "retry.backoff.base.ms": 1000, "retry.backoff.max.ms": 1000})
        self.await_consumed_all(5, program)
        self.assertEqual(self.open(), [2])
        def await_of_a(*ids):  # b is in no order with them
            wait_until(lambda: len(self.made()) == len(ids) + 1, 60, f"{len(ids)} effects beside b's", program)
            self.assertEqual([made for made in self.made() if made != "b"], list(ids))
        await_of_a("a0", "a1")
        self.assertEqual(self.parked(), [3])
        self.discard(2)
        await_of_a("a0", "a1", "a3")
        self.drain(program)

    def test_R5_one_that_dies_among_those_it_runs_with_holds_the_rest(self):
        self.put(record("a0", "reject", 0, b"a"), *(record(f"a{n}", "reject" if n in (3, 6) else "ok", n, b"a") for n in range(1, 9)))
        program = self.start()
        self.await_consumed_all(9, program)
        self.discard(0)
        wait_until(lambda: self.open() == [3], 60, "the next dead letter", program)
        self.assertEqual((self.made(), self.parked()), (["a1", "a2"], [4, 5, 6, 7, 8]))
        self.discard(3)
        wait_until(lambda: self.open() == [6], 60, "the last dead letter", program)
        self.discard(6)
        self.await_made("a1", "a2", "a4", "a5", "a7", "a8")
        self.drain(program)

    def test_R5_each_dead_letter_of_a_key_holds(self):
        self.put(record("a0", "reject", 0, b"a"), record("a1", "reject", 1, b"a"), record("a2", "ok", 2, b"a"))
        program = self.start()
        self.await_consumed_all(3, program)
        self.assertEqual((self.open(), self.parked()), ([0], [1, 2]))
        self.discard(0)
        wait_until(lambda: self.open() == [1], 60, "the second dead letter", program)
        self.assertEqual(self.parked(), [2], "which holds in its turn")
        self.put(record("a3", "ok", 3, b"a"), record("b4", "ok", 4, b"b"))
        self.await_made("b4")
        self.discard(1)
        self.await_made("b4", "a2", "a3")
        self.drain(program)

    def test_R5_a_follower_that_an_operator_gives_up_holds_those_after_it(self):
        program = self.hold_one()
        (first, _) = [row["id"] for row in self.database.rows("select id from deja.parked order by \"offset\"")]
        self.must("parked", "dead-letter", str(first), "--reason", "it is wrong, too", "--yes", "--group", self.group, program="deja")
        self.assertEqual((self.open(), self.parked()), ([0, 2], [3]))
        self.discard(0)
        self.put(record("a4", "ok", 4, b"a"), record("b5", "ok", 5, b"b"))
        self.await_made("b1", "b5")
        self.assertEqual(self.parked(), [3, 4])
        self.discard(2)
        self.await_made("b1", "b5", "a3", "a4")
        self.drain(program)

    def test_R5_it_holds_over_a_kill_a_stop_and_a_start(self):
        program = self.hold_one()
        program.signal(signal.SIGKILL)
        program.process.wait(60)
        self.put(record("a4", "ok", 4, b"a"), record("b5", "ok", 5, b"b"))
        program = self.start(log="second")
        self.await_made("b1", "b5")
        self.assertEqual(self.parked(), [2, 3, 4])
        self.drain(program)
        self.discard(0)
        self.assertEqual(self.made(), ["b1", "b5"], "nobody works the lane")
        program = self.start(log="third")
        self.await_made("b1", "b5", "a2", "a3", "a4")
        self.drain(program)
        self.assertEqual(self.check(letters=1)[0], {"processed": 5, "rejected": 1})

    def test_R5_another_order_marks_the_lanes_anew(self):
        self.drain(self.hold_one())
        program = self.start({"dlq.order": "continue"}, log="continue")
        self.await_made("b1", "a2", "a3")
        self.put(record("a4", "ok", 4, b"a"))
        self.await_made("b1", "a2", "a3", "a4")
        self.drain(program)
        program = self.start(log="hold-again")
        self.put(record("a5", "ok", 5, b"a"), record("b6", "ok", 6, b"b"))
        self.await_made("b1", "a2", "a3", "a4", "b6")
        self.assertEqual(self.parked(), [5], "the dead letter of before holds")
        self.discard(0)
        self.await_made("b1", "a2", "a3", "a4", "b6", "a5")
        self.drain(program)

    def test_R5_a_record_that_was_about_to_run_again_waits_when_hold_comes(self):
        self.put(record("a0", "reject", 0, b"a"), record("a1", "throw:1", 1, b"a"))
        day = 86_400_000
        never = {"retry.max.attempts": 2, "retry.backoff.base.ms": day, "retry.backoff.max.ms": day, "retry.deadline.ms": 20 * day}
        program = self.start({"dlq.order": "continue"} | never)
        wait_until(lambda: self.parked() == [1], 60, "the parked record", program)
        self.drain(program)
        program = self.start({"retry.max.attempts": 2}, log="hold")
        self.put(record("b2", "ok", 2, b"b"))
        self.await_made("b2")
        self.assertEqual(self.database.value("select next_at is null from deja.parked"), True)
        self.discard(0)
        self.await_made("b2", "a1")
        self.drain(program)

    def test_L5_other_lanes_are_refused_while_dead_letters_hold(self):
        self.put(record("a0", "reject", 0, b"a"))
        program = self.start()
        self.await_consumed_all(1, program)
        self.drain(program)
        program = self.start({"lanes.per.partition": 2}, log="two")
        self.assertEqual(program.process.wait(60), 78, program.log_end())
        self.assertIn("dead letters that hold their ordering keys", program.log_text().splitlines()[-1])
        self.discard(0)
        program = self.start({"lanes.per.partition": 2}, log="two-again")
        self.put(record("a1", "ok", 1, b"a"))
        self.await_made("a1")
        self.drain(program)

    def test_an_operator_is_told_what_holds_and_what_to_do(self):
        program = self.hold_one()
        letter = self.letter(0)
        code, out, _ = self.deja("parked", "list")
        rows = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([(row["offset"], row["behind"], row["held_by"], row["next_at"]) for row in rows], [(2, 0, letter, None), (3, 0, letter, None)])
        code, _, error = self.deja("parked", "retry", str(rows[0]["id"]), "--reason", "r", "--yes")
        self.assertEqual(code, 65)
        self.assertIn(f"waits behind dead letter {letter}", error)
        self.assertIn(f"deja dlq discard {letter}", error)
        self.assertEqual(json.loads(http_get(self.port, "/status"))["lanes"][0]["paused_cause"], None, "other keys flow")
        self.drain(program)

    def test_dlq_discard_refuses_what_it_cannot_do_and_changes_nothing(self):
        program = self.hold_one()
        letter = str(self.letter(0))
        why = ("--reason", "r", "--yes")
        for words, code, told in ((("999999", *why), 65, "there is no dead letter 999999"), ((letter, "999999", *why), 65, "there is no dead letter 999999"),
                                  ((letter, "--yes"), 64, "--reason"), ((letter, "--reason", "r"), 64, "--yes"), (why, 64, "which dead letters"),
                                  ((letter, "--all", *why), 64, "one of the three"), (("--filter", "cause=", *why), 64, "--filter"),
                                  (("--filter", "colour=red", *why), 64, "colour"), (("--filter", "cause=exhausted", *why), 65, "no open dead letter fits"),
                                  (("--all", "--expect", "2", *why), 65, "2")):
            with self.subTest(words):
                found, _, error = self.deja("dlq", "discard", *words)
                self.assertEqual(found, code, error)
                self.assertIn(told, error)
        self.assertEqual((self.open(), self.parked()), ([0], [2, 3]))
        out = self.must("dlq", "discard", "--filter", "cause=rejected and offset<3", "--expect", "1", *why, "--group", self.group, "--output", "json", program="deja")
        self.assertEqual(json.loads(out)["accepted"], 1)
        found, _, error = self.deja("dlq", "discard", letter, *why)
        self.assertEqual((found, "is discarded" in error), (65, True), error)
        self.await_made("b1", "a2", "a3")
        (listed,) = map(json.loads, self.deja("dlq", "list")[1].splitlines())
        self.assertEqual((listed["status"], listed["action_id"]), ("discarded", json.loads(out)["action_id"]))
        self.assertEqual([json.loads(line)["status"] for line in self.deja("key", "a0")[1].splitlines()], ["discarded"])
        self.drain(program)


if __name__ == "__main__":
    main()
