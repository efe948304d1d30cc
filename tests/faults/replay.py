"""D8: dead letters run again in their lanes, under their keys and in their order; what would become of them is told before."""

import json
import os
import pty
import re
import select
import signal
import subprocess

from fault_sandbox import FaultTest, main, record, script, wait_until
from sandbox import BIN

ONE = {"retry.max.attempts": 1, "flood.ratio": 1.0}
SWITCH = "insert into probe_switches values ('down', true) on conflict (name) do update set value = excluded.value"

DAY = 86_400_000
PATIENT = {"retry.backoff.base.ms": DAY, "retry.backoff.max.ms": DAY, "retry.deadline.ms": 7 * DAY}  # nothing comes due by itself


class Replays(FaultTest):
    partitions = 1

    def put(self, *records):
        return self.cluster.produce(self.records, 0, list(records))

    def start(self, more=None, **options):
        return super().start(ONE | (more or {}), **options)

    def deja(self, *words):
        return self.once(*words, "--group", self.group, "--output", "json", program="deja")

    def deja_plain(self, *words):
        return self.once(*words, "--group", self.group, program="deja")

    def rows(self, *words):
        code, out, error = self.deja(*words)
        self.assertEqual(code, 0, error)
        return [json.loads(line) for line in out.splitlines()]

    def replay(self, *words, code=0):
        found, out, error = self.deja("dlq", "replay", *words, *(() if "--dry-run" in words else ("--reason", "a fix is out", "--yes")))
        self.assertEqual(found, code, error)
        return [json.loads(line) for line in out.splitlines()]

    def letters(self):
        return self.rows("dlq", "list")

    def letter(self, offset):
        return next(row["id"] for row in self.letters() if row["offset"] == offset)

    def status(self):
        return {row["offset"]: row["status"] for row in self.letters()}

    def made(self):
        return [row["id"] for row in self.database.rows("select id from probe_effects order by n")]

    def await_made(self, *ids):
        wait_until(lambda: len(self.made()) >= len(ids), 60, f"{len(ids)} effects of {self.made()}")
        self.assertEqual(self.made(), list(ids))

    def await_dead(self, *offsets):
        wait_until(lambda: [offset for offset, status in self.status().items() if status == "open"] == list(offsets), 60, f"dead letters at {offsets}")

    def action(self, number):
        return self.rows("dlq", "actions", str(number))[0]

    def await_state(self, number, state):
        wait_until(lambda: self.action(number)["state"] == state, 60, f"action {number} to be {state}")
        return self.action(number)

    def clean(self, *programs):
        for program in programs:
            self.drain(program)
        code, out, error = self.deja("audit")
        self.assertEqual(code, 0, out + error)
        self.assertEqual(self.deja("audit-log", "--verify")[0], 0)


class WhenDeadLettersAreReplayed(Replays):
    def test_D8_replay_runs_it_under_its_key_in_its_lane_and_tells_the_topic(self):
        told = self.topic("dlq", 1)
        self.put(record("a", "throw:1", 0), record("b", "ok", 1))
        program = self.start({"dlq.topic": told})
        self.await_made("b")
        self.await_dead(0)
        (forecast,) = self.replay("--all", "--dry-run")
        self.assertEqual([forecast[f] for f in ("action_id", "matched", "accepted", "refused", "would_run", "build_unchanged")], [None, 1, 1, 0, 1, 1])
        self.assertEqual(self.status(), {0: "open"}, "a dry run changes nothing")
        (row,) = self.replay(str(self.letter(0)), "--wait")
        self.assertEqual([row[f] for f in ("accepted", "state", "done", "failed", "differed")], [1, "done", 1, 0, 0])
        self.await_made("b", "a")
        (letter,) = self.letters()
        self.assertEqual([letter[f] for f in ("status", "replays", "action_id", "attempts")], ["replayed", 1, row["action_id"], 1])
        self.put(record("a", "throw:1", 0))
        self.await_done([self.records], program)
        self.assertEqual(self.made(), ["b", "a"], "B3: its key is taken")
        wait_until(lambda: len(self.cluster.read(told)) == 2, 60, "both events")
        first, second = [dict(event.headers) for event in self.cluster.read(told)]
        self.assertEqual((first["deja-dlq-id"], first["deja-dlq-replays"]), (second["deja-dlq-id"], b"0"))
        self.assertEqual((second["deja-dlq-status"], second["deja-dlq-replays"]), (b"replayed", b"1"))
        self.assertEqual(json.loads(self.cluster.read(told)[1].value)["outcome"], "processed")
        self.assertEqual([row["status"] for row in self.rows("key", "a")], ["processed"])
        (entry,) = self.database.rows("select reason, detail from deja.audit_log where action = 'dlq replay'")
        self.assertEqual((entry["reason"], entry["detail"]["action_id"], entry["detail"]["dead_letters"]), ("a fix is out", row["action_id"], [letter["id"]]))
        (item,) = self.rows("dlq", "actions", str(row["action_id"]), "--records")
        self.assertEqual([item[f] for f in ("id", "forecast", "state", "outcome", "as_foretold")], [letter["id"], "would_run", "done", "processed", True])
        self.clean(program)

    def test_D8_submitting_twice_is_one_replay(self):
        self.put(record("a", "throw:1", 0), record("b", "throw:1", 1, b"b"))
        program = self.start()
        self.await_dead(0, 1)
        self.drain(program)
        (first,) = self.replay("--all")
        code, _, error = self.deja("dlq", "replay", str(self.letter(0)), "--reason", "r", "--yes")
        self.assertEqual(code, 65)
        self.assertIn(f"is being replayed by action {first['action_id']}", error)
        self.assertEqual(self.deja("dlq", "replay", "--all", "--reason", "r", "--yes")[0], 65)
        self.assertEqual(self.deja("dlq", "discard", str(self.letter(0)), "--reason", "r", "--yes")[0], 65)
        program = self.start(log="second")
        self.await_state(first["action_id"], "done")
        self.assertEqual(sorted(self.made()), ["a", "b"])
        self.clean(program)

    def test_D8_a_replay_that_fails_is_a_dead_letter_again_with_its_history(self):
        told = self.topic("dlq", 1)
        self.put(record("a", "throw", 0))
        program = self.start({"retry.max.attempts": 2, "dlq.topic": told})
        self.await_dead(0)
        for replays in (1, 2):
            (row,) = self.replay("--all", "--wait", code=1)
            self.assertEqual([row[f] for f in ("state", "done", "failed", "differed")], ["done", 0, 1, 0])
            (letter,) = self.letters()
            self.assertEqual([letter[f] for f in ("status", "replays", "attempts", "cause")], ["open", replays, 2 + 2 * replays, "exhausted"])
        (shown,) = self.rows("dlq", "show", str(letter["id"]))
        self.assertEqual([failure["attempt"] for failure in shown["failures"]], [1, 2, 3, 4, 5, 6])
        wait_until(lambda: len(self.cluster.read(told)) == 3, 60, "an event each time")
        headers = [dict(event.headers) for event in self.cluster.read(told)]
        self.assertEqual([h["deja-dlq-replays"] for h in headers], [b"0", b"1", b"2"])
        self.assertEqual(len({h["deja-event-id"] for h in headers}), 3, "D3")
        self.assertEqual({len(h) for h in headers}, {len(headers[0])}, "its headers do not grow")
        found, _, error = self.deja("dlq", "replay", "--all", "--max-replays", "2", "--reason", "r", "--yes")
        self.assertEqual((found, "--max-replays" in error), (65, True), error)
        self.clean(program)

    def test_R5_replayed_records_of_a_key_run_in_the_order_of_the_log_and_before_what_waits(self):
        self.put(*(record(f"a{n}", "throw:1", n) for n in range(3)), record("b", "ok", 3, b"b"))
        program = self.start()
        self.await_dead(0, 1, 2)
        self.drain(program)
        ids = [row["id"] for row in self.letters()]
        (row,) = self.replay(*map(str, reversed(ids)))
        self.put(record("a4", "ok", 4))
        program = self.start(log="second")
        self.await_state(row["action_id"], "done")
        wait_until(lambda: len(self.made()) == 5, 60, "all effects", program)
        self.assertEqual([made for made in self.made() if made in ("a0", "a1", "a2")], ["a0", "a1", "a2"])
        self.clean(program)

    def test_D1_one_that_is_replayed_runs_before_a_parked_record_of_its_key(self):
        self.put(record("a0", "reject", 0), record("a1", "ok", 1))
        program = self.start({"retry.max.attempts": 3} | PATIENT)
        self.await_made("a1")
        self.put(record("a2", "throw:1", 2), record("a3", "ok", 3))
        wait_until(lambda: len(self.rows("parked", "list")) == 2, 60, "two parked", program)
        self.replay("--all", "--wait", code=1)
        self.await_made("a1", "a2", "a3")
        self.await_dead(0)
        self.clean(program)

    def test_forecast_says_what_the_outcome_is(self):
        self.put(record("a", "throw:1", 0), record("b", "ok", 1, b"b"), (b"c", script("c", "ok", 2), []), (b"b", script("b", "emit:2", 9), [("Idempotency-Key", b"b")]), record("d", "throw:9", 4, b"d"),
                 record("e", "throw:1", 5, b"e"))
        program = self.start()
        self.await_dead(0, 2, 3, 4, 5)
        self.put(record("e", "ok", 5, b"e"), record("d", "throw:9", 4, b"d"))  # twins: one does well
        self.await_done([self.records], program)
        forecasts = {row["offset"]: (row["forecast"], row["accepted"]) for row in self.replay("--all", "--dry-run", "--records", code=1)}
        self.assertEqual(forecasts, {0: ("would_run", True), 2: ("would_run", True), 3: ("conflict", False), 4: ("would_run", True), 5: ("conflict", False), 7: ("already_processed", True)}, "a twin of what fails again")
        (row,) = self.replay("--all", "--wait", code=1)
        self.assertEqual([row[f] for f in ("matched", "accepted", "refused", "would_run", "already_processed", "conflict", "done", "failed", "differed")], [6, 4, 2, 3, 1, 2, 1, 3, 1])
        self.clean(program)

    def test_forecast_knows_a_twin_that_took_effect(self):
        self.put(record("a", "unavailable", 0))
        program = self.start({"breaker.failure.count": 1000})
        self.await_made("a")
        self.drain(program)
        self.database.run(SWITCH)
        self.put(record("b", "unavailable", 1), record("b", "unavailable", 1, b"other"))
        program = self.start(log="second")
        wait_until(lambda: self.database.value("select paused_cause is not null from deja.lanes"), 60, "the pause", program)
        self.must("lanes", "dead-letter", "--topic", self.records, "--partition", "0", "--reason", "r", "--yes", "--group", self.group, program="deja")
        self.database.run("update probe_switches set value = false")
        self.await_made("a", "b")
        (row,) = self.replay("--all", "--wait")
        self.assertEqual([row[f] for f in ("already_processed", "accepted", "done", "differed")], [1, 1, 1, 0])
        self.assertEqual(self.made(), ["a", "b"])
        self.await_metric("deja_duplicates_total", 1, program, cause="replay")
        self.clean(program)

    def test_canary_stops_what_would_fail_again(self):
        self.put(*(record(f"a{n}", "throw", n, f"k{n}".encode()) for n in range(30)))
        program = self.start()
        self.await_dead(*range(30))
        (row,) = self.replay("--all", "--canary", "3", "--wait", code=1)
        self.assertEqual([row[f] for f in ("state", "failed", "done")], ["stopped", 3, 0])
        self.await_dead(*range(30))
        self.assertEqual(sorted(letter["replays"] for letter in self.letters()), [0] * 27 + [1] * 3)
        (action,) = self.rows("dlq", "actions", str(row["action_id"]))
        self.assertIn("of the first, 3 of 3 failed", action["state_cause"])
        self.clean(program)

    def test_canary_that_does_well_lets_the_rest_follow_and_a_stop_ratio_ends_it(self):
        self.put(*(record(f"a{n}", "throw:1" if n < 20 else "throw", n, f"k{n}".encode()) for n in range(200)))
        program = self.start()
        self.await_dead(*range(200))
        (row,) = self.replay("--all", "--canary", "5", "--stop-ratio", "0.5", "--rate", "50", "--wait", code=1)
        self.assertEqual((row["state"], row["done"]), ("stopped", 20))
        self.assertTrue(20 <= row["failed"] < 150, row)
        self.assertEqual(sorted(self.made()), sorted(f"a{n}" for n in range(20)))
        self.clean(program)

    def test_a_replay_is_paused_resumed_and_cancelled(self):
        self.put(*(record(f"a{n}", "throw:1", n, f"k{n}".encode()) for n in range(40)))
        program = self.start()
        self.await_dead(*range(40))
        (row,) = self.replay("--all", "--rate", "1")
        number, why = str(row["action_id"]), ("--reason", "not now", "--yes")
        wait_until(lambda: len(self.made()) >= 3, 60, "some effects", program)
        (paused,) = self.rows("dlq", "pause", number, *why)
        self.assertEqual(paused["state"], "paused")
        wait_until(lambda: self.action(number)["running"] == 0, 60, "what was under way", program)
        made = len(self.made())
        self.assertEqual(self.action(number)["queued"], 40 - made)
        self.assertEqual(self.deja("dlq", "pause", number, *why)[0], 65)
        self.rows("dlq", "resume", number, *why)
        wait_until(lambda: len(self.made()) > made, 60, "more effects", program)
        (cancelled,) = self.rows("dlq", "cancel", number, *why)
        self.assertEqual((cancelled["state"], cancelled["queued"], cancelled["running"]), ("cancelled", 0, 0))
        made = len(self.made())
        self.assertEqual(sorted(self.status().values()), sorted(["replayed"] * made + ["open"] * (40 - made)))
        (row,) = self.replay("--all", "--rate", "1000", "--wait")
        self.assertEqual(row["done"], 40 - made)
        self.assertEqual(sorted(self.made()), sorted(f"a{n}" for n in range(40)))
        self.clean(program)

    def test_a_cancel_takes_back_what_waits_to_be_tried_again(self):
        self.put(record("a0", "throw", 0), record("b", "ok", 1, b"b"))
        program = self.start({"retry.max.attempts": 1})
        self.await_dead(0)
        self.drain(program)
        program = self.start({"retry.max.attempts": 5} | PATIENT, log="patient")
        (row,) = self.replay("--all")
        wait_until(lambda: any(p["attempt"] == 2 for p in self.rows("parked", "list")), 60, "a failed attempt", program)
        self.put(record("a1", "ok", 2))
        wait_until(lambda: len(self.rows("parked", "list")) == 2, 60, "one behind it", program)
        self.rows("dlq", "cancel", str(row["action_id"]), "--reason", "no", "--yes")
        self.await_made("b", "a1")
        (letter,) = self.letters()
        self.assertEqual((letter["status"], letter["attempts"], self.rows("parked", "list")), ("open", 2, []))
        self.clean(program)

    def test_D8_kills_in_the_midst_of_a_replay_double_and_lose_nothing(self):
        self.put(*(record(f"a{n}", "throw:1", n, f"k{n % 7}".encode()) for n in range(300)))
        program = self.start()
        wait_until(lambda: len(self.letters()) == 300, 60, "all dead", program)
        (row,) = self.replay("--all", "--rate", "60")
        for kill in range(3):
            made = len(self.made())
            wait_until(lambda: len(self.made()) > made, 60, "some effects", program)
            program.signal(signal.SIGKILL)
            program.process.wait(60)
            program = self.start(log=f"after-{kill}")
        self.await_state(row["action_id"], "done")
        self.assertEqual(sorted(self.made()), sorted(f"a{n}" for n in range(300)))
        for key in range(7):
            mine = [int(made[1:]) for made in self.made() if int(made[1:]) % 7 == key]
            self.assertEqual(mine, sorted(mine), "in the order of the log")
        self.clean(program)

    def test_discard_tells_the_topic_and_restore_takes_it_back(self):
        told = self.topic("dlq", 1)
        self.put(record("a", "throw:1", 0))
        program = self.start({"dlq.topic": told})
        self.await_dead(0)
        why = ("--reason", "a ticket", "--yes")
        self.rows("dlq", "discard", "--all", *why)
        wait_until(lambda: len(self.cluster.read(told)) == 2, 60, "the notice", program)
        self.assertEqual(dict(self.cluster.read(told)[1].headers)["deja-dlq-status"], b"discarded")
        self.put(record("a", "throw:1", 0))
        self.await_done([self.records], program)
        self.assertEqual(self.made(), [], "B4: its key is taken")
        (row,) = self.rows("dlq", "restore", "--all", *why)
        self.assertEqual((row["matched"], row["accepted"], self.status()), (1, 1, {0: "open"}))
        wait_until(lambda: len(self.cluster.read(told)) == 3, 60, "the notice", program)
        (row,) = self.replay("--all", "--wait")
        self.assertEqual((row["done"], self.made()), (1, ["a"]))
        self.assertEqual([dict(event.headers).get("deja-dlq-status") for event in self.cluster.read(told)][1:], [b"discarded", b"open", b"replayed"])
        self.assertEqual([(a["kind"], a["accepted"]) for a in self.rows("dlq", "actions")], [("replay", 1), ("restore", 1), ("discard", 1)])
        self.clean(program)

    def test_B4_a_restore_of_two_letters_of_one_key_frees_it(self):
        self.database.run(f"alter database {self.database.value('select current_database()')} set enable_seqscan = off")  # so that rows come in the order of their ids
        self.put(record("a", "throw:1", 0), record("b", "throw:1", 1, idempotency="a"))
        program = self.start()
        self.await_dead(0, 1)
        why = ("--reason", "a ticket", "--yes")
        self.rows("dlq", "discard", str(self.letter(1)), *why)  # which takes the key
        self.rows("dlq", "discard", str(self.letter(0)), *why)
        self.assertEqual(self.rows("dlq", "restore", "--all", *why)[0]["accepted"], 2)
        self.assertEqual(self.database.value("select count(*) from deja.keys_1"), 0, "the key is free")
        self.replay(str(self.letter(1)), "--wait")
        self.await_made("b")
        self.clean(program)

    def test_R5_with_hold_a_replay_keeps_the_place_in_the_log(self):
        self.put(record("a0", "throw:1", 0), record("a1", "ok", 1), record("a2", "throw:1", 2), record("a3", "ok", 3))
        program = self.start({"dlq.order": "hold"})
        self.await_dead(0)
        (row,) = self.replay("--all", "--wait")
        self.assertEqual(row["done"], 1)
        wait_until(lambda: self.status() == {0: "replayed", 2: "open"}, 60, "the next one", program)
        self.assertEqual(self.made(), ["a0", "a1"])
        self.replay("--all", "--wait")
        self.await_made("a0", "a1", "a2", "a3")
        self.put(record("a4", "ok", 4), record("a5", "ok", 5))
        self.await_made("a0", "a1", "a2", "a3", "a4", "a5")
        self.assertEqual(self.rows("parked", "list"), [], "nobody holds the key any more")
        self.clean(program)

    def test_R5_with_hold_another_dead_letter_of_the_key_goes_on_to_hold(self):
        self.put(record("a0", "throw:1", 0), record("a1", "ok", 1))
        program = self.start({"dlq.order": "continue"})
        self.await_made("a1")
        self.put(record("a2", "throw:9", 2))
        self.await_dead(0, 2)
        self.drain(program)
        program = self.start({"dlq.order": "hold"}, log="hold")
        self.put(record("a3", "ok", 3))
        wait_until(lambda: len(self.rows("parked", "list")) == 1, 60, "one that is held", program)
        self.replay(str(self.letter(0)), "--wait")
        self.put(record("a4", "ok", 4), record("b", "ok", 5, b"b"))
        self.await_made("a1", "a0", "b")
        self.assertEqual([row["offset"] for row in self.rows("parked", "list")], [3, 4])
        self.rows("dlq", "discard", str(self.letter(2)), "--reason", "r", "--yes")
        self.await_made("a1", "a0", "b", "a3", "a4")
        self.clean(program)

    def test_R2_a_replay_that_fails_again_is_no_outage(self):
        self.put(*(record(f"a{n}", "throw", n, f"k{n}".encode()) for n in range(150)))
        program = self.start()
        wait_until(lambda: len(self.letters()) == 150, 60, "dead letters", program)
        self.drain(program)
        program = self.start({"flood.ratio": 0.5}, log="guarded")
        (row,) = self.replay("--all", "--rate", "500", "--wait", code=1)
        self.assertEqual((row["failed"], self.rows("flood")), (150, []))
        self.put(record("b", "ok", 999, b"b"))
        self.await_made("b")
        self.clean(program)

    def test_dead_letters_of_a_lane_that_is_no_more_are_refused(self):
        self.put(*(record(f"a{n}", "reject", n, f"k{n}".encode()) for n in range(12)))
        program = self.start({"lanes.per.partition": 4})
        wait_until(lambda: len(self.letters()) == 12, 60, "dead letters", program)
        self.drain(program)
        program = self.start(log="one")
        wait_until(lambda: self.database.value("select bool_and(lane_count = 1) from deja.lanes"), 60, "one lane", program)
        of_lane_0 = self.database.value("select count(*) from deja.dead_letters d join deja.lanes l on l.id = d.lane and l.lane = 0")
        (row,) = self.replay("--all", "--dry-run", code=1)
        self.assertEqual((row["not_registered"], row["accepted"]), (12 - of_lane_0, of_lane_0))
        self.rows("dlq", "discard", "--all", "--reason", "r", "--yes")
        self.drain(program)
        program = self.start(log="again")
        self.await_log(program, "lane taken over")
        self.drain(program)

    def test_bad_orders_change_nothing(self):
        self.put(record("a", "throw:1", 0))
        program = self.start()
        self.await_dead(0)
        letter, why = str(self.letter(0)), ("--reason", "r", "--yes")
        for words, code, said in ((("dlq", "replay", "999999", *why), 65, "there is no dead letter 999999"), (("dlq", "replay", letter, "--yes"), 64, "--reason"),
                                  (("dlq", "replay", letter, "--reason", "r"), 64, "--yes"), (("dlq", "replay", *why), 64, "which dead letters"),
                                  (("dlq", "replay", "--filter", "colour=red", *why), 64, "colour"), (("dlq", "replay", letter, "--rate", "0", *why), 64, "--rate"),
                                  (("dlq", "replay", letter, "--rate", "nan", *why), 64, "--rate"), (("dlq", "replay", letter, "--canary", "0", *why), 64, "--canary"),
                                  (("dlq", "replay", letter, "--stop-ratio", "1.5", *why), 64, "--stop-ratio"), (("dlq", "replay", "--all", "--expect", "2", *why), 65, "2"),
                                  (("dlq", "replay", letter, "--records", *why), 64, "--dry-run"), (("dlq", "restore", letter, *why), 65, "is open"),
                                  (("dlq", "actions", "999999"), 65, "there is no action 999999"), (("dlq", "pause", "999999", *why), 65, "there is no action 999999")):
            with self.subTest(words):
                found, _, error = self.deja(*words)
                self.assertEqual(found, code, error)
                self.assertIn(said, error)
        self.assertEqual(self.status(), {0: "open"})
        self.clean(program)


class WhenThereAreTwoLanes(Replays):
    partitions = 2

    def test_a_discard_that_fails_midway_says_how_far_it_came_and_goes_on_when_it_is_asked_again(self):
        self.put(record("a", "reject", 0))
        self.cluster.produce(self.records, 1, [record("b", "reject", 0, b"b")])
        program = self.start()
        wait_until(lambda: len(self.letters()) == 2, 60, "two dead letters", program)
        self.database.run("create function refuse() returns trigger language plpgsql as $$begin raise exception 'not this one'; end$$")
        self.database.run("create trigger refused before update on deja.dead_letters for each row when (new.partition = 1) execute function refuse()")
        why = ("--reason", "a ticket", "--yes")
        code, out, error = self.deja("dlq", "discard", "--all", *why)
        self.assertNotIn(code, (0, 1), error)
        self.assertIn("not this one", error)
        self.assertIn("were discarded before, and 1 are as they were", error)
        action = self.action(json.loads(out)["action_id"])
        self.assertEqual((action["state"], action["accepted"], "not this one" in action["state_cause"]), ("stopped", 1, True))
        self.database.run("drop trigger refused on deja.dead_letters")
        (row,) = self.rows("dlq", "discard", "--all", *why)
        self.assertEqual((row["matched"], row["accepted"]), (1, 1))
        self.assertEqual({letter["status"] for letter in self.letters()}, {"discarded"})
        self.clean(program)


class WhenAnOperatorMendsThem(Replays):
    """`deja dlq edit`, `stats`, `export`, and what a person sees at a terminal."""

    def file(self, name, content):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(content)
        return path

    def edit(self, *words, code=0):
        found, out, error = self.deja("dlq", "edit", *words, "--reason", "a typing error", "--yes")
        self.assertEqual(found, code, error)
        return json.loads(out) if out else error

    def at_a_terminal(self, *words, answers=(), editor=None):
        """Returns (exit code, what the terminal showed). `answers`: (what it asks, what is typed)."""
        master, slave = pty.openpty()
        environment = self.environment | ({"EDITOR": editor} if editor else {})
        process = subprocess.Popen([os.path.join(BIN, "deja"), *words, "--group", self.group], stdin=slave, stdout=slave, stderr=slave, cwd=self.folder, env=environment, start_new_session=True)
        os.close(slave)
        shown, answers = b"", list(answers)
        try:
            while True:
                self.assertTrue(select.select([master], [], [], 60)[0], shown)
                try:
                    piece = os.read(master, 4096)
                except OSError:  # the other end is closed
                    break
                if not piece:
                    break
                shown += piece
                if answers and answers[0][0].encode() in shown:
                    os.write(master, answers.pop(0)[1].encode() + b"\n")
            return process.wait(60), shown.decode(errors="replace")
        finally:
            process.kill()
            process.wait()
            os.close(master)

    def test_an_edit_mends_the_value_under_the_same_key(self):
        self.put(record("a", "reject", 0), record("b", "ok", 1, b"b"))
        program = self.start()
        self.await_dead(0)
        letter = str(self.letter(0))
        row = self.edit(letter, "--value", self.file("mended", script("a", "ok", 0)))
        self.assertEqual((row["id"], row["edits"]), (int(letter), 1))
        (shown,) = self.rows("dlq", "show", letter)
        self.assertEqual((shown["value"], shown["status"]), (script("a", "ok", 0).decode(), "open"))
        (edit,) = shown["edits"]
        self.assertEqual((edit["value_before"], edit["reason"], edit["action_id"]), (script("a", "reject", 0).decode(), "a typing error", row["action_id"]))
        (done,) = self.replay(letter, "--wait")
        self.assertEqual(done["done"], 1)
        self.put(record("a", "reject", 0))  # as the producer knows it
        self.await_done([self.records], program)
        self.assertEqual(sorted(self.made()), ["a", "b"])
        (key,) = self.rows("key", "a")
        self.assertEqual((key["status"], key["conflicts"]), ("processed", 0))
        self.assertEqual([a["kind"] for a in self.rows("dlq", "actions")], ["replay", "edit"])
        self.clean(program)

    def test_an_edit_gives_a_key_to_a_record_that_had_none(self):
        self.put((b"k", script("a", "ok", 0), [("other", b"\xff\x00")]))
        program = self.start()
        self.await_dead(0)
        letter = str(self.letter(0))
        (shown,) = self.rows("dlq", "show", letter)
        self.assertEqual(shown["cause"], "key_missing")
        headers = shown["headers"] + [["Idempotency-Key", "a"]]
        self.edit(letter, "--headers", self.file("headers", json.dumps(headers).encode()))
        self.assertEqual(self.rows("dlq", "show", letter)[0]["headers"], headers)
        self.replay(letter, "--wait")
        self.assertEqual((self.made(), [row["status"] for row in self.rows("key", "a")]), (["a"], ["processed"]))
        self.clean(program)

    def test_an_edit_that_breaks_it_changes_nothing(self):
        self.put(record("a", "reject", 0), record("b", "throw:1", 1))
        program = self.start()
        self.await_dead(0, 1)
        letter = str(self.letter(0))
        before = self.rows("dlq", "show", letter)
        for words, code, said in (((letter, "--value", self.file("broken", b'{"id": "a"')), 65, "none any more"), ((letter, "--headers", self.file("h1", b"[[")), 65, "no JSON"),
                                  ((letter, "--headers", self.file("h2", b'[["name"]]')), 65, "header 1"), ((letter, "--value", "/nowhere"), 65, "cannot read"),
                                  (("999999", "--value", self.file("v", b"{}")), 65, "there is no dead letter"), ((letter,), 64, "terminal")):
            with self.subTest(words):
                self.assertIn(said, self.edit(*words, code=code))
        self.assertIn("nothing was changed", self.edit(letter, "--value", self.file("same", before[0]["value"].encode()), code=0))
        self.assertEqual(self.rows("dlq", "show", letter), before)
        other = str(self.letter(1))
        self.replay(other, "--wait")
        self.assertIn("is replayed", self.edit(other, "--value", self.file("late", b"{}"), code=65))
        self.clean(program)

    def test_a_person_edits_at_a_terminal_and_sees_the_difference(self):
        self.put(record("a", "reject", 0))
        program = self.start()
        self.await_dead(0)
        letter = str(self.letter(0))
        words = ("dlq", "edit", letter, "--reason", "mended")
        code, shown = self.at_a_terminal(*words, editor="sed -i s/reject/ok/", answers=[("Go on", "no")])
        self.assertEqual(code, 64, shown)
        self.assertIn('-{"id": "a", "seq": 0, "do": "reject"}', shown)
        self.assertIn('+{"id": "a", "seq": 0, "do": "ok"}', shown)
        code, shown = self.at_a_terminal(*words, editor="sed -i s/reject/ok/", answers=[("Go on", "yes")])
        self.assertEqual(code, 0, shown)
        self.assertEqual(self.rows("dlq", "show", letter)[0]["value"], script("a", "ok", 0).decode())
        code, shown = self.at_a_terminal(*words, editor="sed -i s/}//")
        self.assertEqual((code, "none any more" in shown), (65, True), shown)
        kept = re.search(r"what you wrote is in (\S+):", shown)[1]
        self.addCleanup(os.unlink, kept)
        with open(kept, encoding="utf-8") as file:
            self.assertEqual((file.read().strip(), oct(os.stat(kept).st_mode & 0o777)), (script("a", "ok", 0).decode().replace("}", "", 1), "0o600"))
        code, shown = self.at_a_terminal(*words, editor="false")
        self.assertEqual((code, "ended with an error" in shown), (65, True), shown)
        code, shown = self.at_a_terminal("dlq", "edit", letter, "--in-headers", "--reason", "r", editor="sed -i s/Idempotency-Key/Other-Key/", answers=[("Go on", "yes")])
        self.assertEqual(code, 0, shown)
        self.assertEqual(self.rows("dlq", "show", letter)[0]["headers"], [["Other-Key", "a"]])
        code, shown = self.at_a_terminal("dlq", "replay", letter, "--wait", "--reason", "r", answers=[("Go on", "yes")])
        self.assertEqual(code, 0, shown)
        self.assertIn("[##############################] 1/1", shown)
        self.assertEqual(self.made(), ["a"])
        self.clean(program)

    def test_a_replay_of_many_asks_for_their_number(self):
        self.put(record("a", "throw:1", 0))
        program = self.start()
        self.await_dead(0)
        self.database.run("insert into deja.dead_letters (group_id, handler, lane, topic, partition, \"offset\", incarnation, headers, record_timestamp, cause, stage, error, fingerprint, build, attempts, size) "
                          "select group_id, handler, lane, topic, partition, 1000000 + n, incarnation, '[]', 0, 'rejected', 'handler', 'e', 'f', 'b', 1, 0 from deja.dead_letters, generate_series(1, 1000) n")
        code, _, error = self.deja("dlq", "replay", "--all", "--reason", "r", "--yes")
        self.assertEqual((code, "--expect 1001" in error), (64, True), error)
        code, shown = self.at_a_terminal("dlq", "discard", "--filter", "cause=rejected or cause=exhausted", "--reason", "r", answers=[("How many records", "1000")])
        self.assertEqual((code, "not confirmed" in shown), (64, True), shown)
        code, shown = self.at_a_terminal("dlq", "discard", "--all", "--reason", "r", answers=[("How many records", "1001")])
        self.assertEqual(code, 0, shown)
        self.drain(program)

    def test_stats_reads_many_as_few_causes(self):
        self.put(*(record(f"a{n}", "throw" if n % 3 else "reject", n, f"k{n}".encode()) for n in range(60)), (b"k", script("x"), []))
        program = self.start()
        wait_until(lambda: len(self.letters()) == 61, 60, "dead letters", program)
        rows = self.rows("dlq", "stats")
        self.assertEqual([(row["cause"], row["records"], row["keys"], row["last_hour"], row["hour_before"], row["trend"]) for row in rows],
                         [("exhausted", 40, 40, 40, 0, "new"), ("rejected", 20, 20, 20, 0, "new"), ("key_missing", 1, 1, 1, 0, "new")])
        self.assertEqual(self.rows("dlq", "stats", "--status", "discarded"), [])
        self.rows("dlq", "discard", "--filter", f"fingerprint={rows[1]['fingerprint']}", "--reason", "r", "--yes")
        self.assertEqual([(row["cause"], row["records"]) for row in self.rows("dlq", "stats", "--status", "discarded")], [("rejected", 20)])
        self.assertEqual(len(self.rows("dlq", "stats", "--filter", "records>1")), 1)
        self.drain(program)

    def test_export_gives_back_any_bytes(self):
        sent = [(b"k", script("a", "reject"), [("Idempotency-Key", b"a"), ("raw", b"\x00\xff"), ("none", None)]), (b"\xfe\x00", b"\xff\x01", [("Idempotency-Key", b"b")]), (None, None, [])]
        self.put(*sent)
        program = self.start()
        wait_until(lambda: len(self.letters()) == 3, 60, "dead letters", program)
        code, out, error = self.deja_plain("dlq", "export", "--all")
        self.assertEqual(code, 0, error)
        path, other = self.file("exported", out.encode()), self.topic("again", 1)
        self.must("send", other, "--file", path, program="deja")
        again = [(r.key, r.value, [(name, value) for name, value in r.headers]) for r in self.cluster.read(other)]
        self.assertEqual(again, sent)
        lines = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([(line["topic"], line["partition"], line["offset"]) for line in lines], [(self.records, 0, n) for n in range(3)])
        self.assertEqual(self.deja_plain("dlq", "export", "999999")[0], 65)
        self.drain(program)


class WhenTheyAreLookedFor(Replays):
    def test_by_any_text_in_them_and_secrets_stay_out_of_the_topic(self):
        told = self.topic("dlq", 1)
        self.put((b"k", script("a-needle-in-its-value", "reject", 0), [("Idempotency-Key", b"a"), ("X-Auth-Token", b"s3cret"), ("trace", b"t1"), ("raw", b"\xff\xfe")]),
                 (b"k-needle", script("b", "reject", 1), [("Idempotency-Key", b"b")]), (b"k", script("c", "reject", 2), [("Idempotency-Key", b"c"), ("note", b"a needle")]),
                 (b"k", None, [("Idempotency-Key", b"d")]))
        program = self.start({"dlq.topic": told})
        wait_until(lambda: len(self.letters()) == 4, 60, "dead letters", program)
        found = [row["offset"] for row in self.rows("dlq", "list", "--text", "needle")]
        self.assertEqual(found, [0, 1, 2])
        self.assertEqual([row["offset"] for row in self.rows("dlq", "list", "--text", "needle", "--filter", "offset>0", "--limit", "1")], [1])
        self.assertEqual([row["offset"] for row in self.rows("dlq", "list", "--text", "told to reject")], [0, 1, 2], "in the error")
        self.assertEqual(self.rows("dlq", "list", "--text", "Needle%"), [])
        wait_until(lambda: len(self.cluster.read(told)) == 4, 60, "their events", program)
        headers = dict(self.cluster.read(told)[0].headers)
        self.assertEqual((headers["X-Auth-Token"], headers["trace"], headers["raw"]), (b"(redacted)", b"t1", b"\xff\xfe"))
        self.assertIn(["X-Auth-Token", "s3cret"], self.rows("dlq", "show", str(self.letter(0)))[0]["headers"], "the row has it, to be replayed")
        self.clean(program)


class WhenTheyComeFromElsewhere(Replays):
    """`deja dlq import`: what another framework's consumer gave up is replayed here."""

    def import_(self, *words, code=0):
        found, out, error = self.deja("dlq", "import", *words, "--reason", "we move here", "--yes")
        self.assertEqual(found, code, error)
        return json.loads(out) if out else error

    def file(self, name, *lines):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.writelines(line + "\n" for line in lines)
        return path

    def move_here(self):
        """Three records are another consumer's past: two of them are in its dead-letter topic."""
        past = [record(f"a{n}", "ok", n, b"k") for n in range(3)]
        self.put(*past)
        program = self.start({"start.from": "latest"})
        wait_until(lambda: self.next_offsets().get(0) == 3, 60, "the lane", program)
        return past, program

    def test_a_dead_letter_topic_of_kafka_connect_and_of_spring(self):
        past, program = self.move_here()
        foreign = self.topic("foreign", 2)
        connect = [("__connect.errors.topic", self.records.encode()), ("__connect.errors.partition", b"0"), ("__connect.errors.offset", b"0"),
                   ("__connect.errors.exception.class.name", b"java.lang.IllegalStateException"), ("__connect.errors.exception.message", b"no such account")]
        spring = [("kafka_dlt-original-topic", self.records.encode()), ("kafka_dlt-original-partition", bytes(4)), ("kafka_dlt-original-offset", (2).to_bytes(8, "big")),
                  ("kafka_dlt-exception-fqcn", b"x.Y")]
        for partition, (key, value, headers), more in ((0, past[0], connect), (1, past[2], spring)):
            self.cluster.produce(foreign, partition, [(key, value, headers + more)])
        row = self.import_("--from-topic", foreign)
        self.assertEqual((row["matched"], row["accepted"], row["refused"]), (2, 2, 0))
        letters = self.letters()
        self.assertEqual(sorted((letter["offset"], letter["cause"], letter["handler"]) for letter in letters), [(0, "imported", "probe"), (2, "imported", "probe")])
        self.assertIn("java.lang.IllegalStateException: no such account (Kafka Connect", next(letter["error"] for letter in letters if letter["offset"] == 0))
        (shown,) = self.rows("dlq", "show", str(self.letter(2)))
        self.assertEqual(shown["headers"], [["Idempotency-Key", "a2"]], "as the record was")
        (done,) = self.replay("--all", "--wait")
        self.assertEqual((done["done"], self.made()), (2, ["a0", "a2"]))
        self.put(past[0])
        self.await_done([self.records], program)
        self.assertEqual(self.made(), ["a0", "a2"], "its key is taken")
        again = self.import_("--from-topic", foreign, code=1)
        self.assertEqual((again["accepted"], again["already_there"]), (0, 2), "they are here already")
        self.clean(program)

    def test_a_dead_letter_topic_of_deja_itself(self):
        _, program = self.move_here()
        told = self.topic("told", 1)
        def origin(offset, letter, *more):
            return [("__dlq.errors.topic", self.records.encode()), ("__dlq.errors.partition", b"0"), ("__dlq.errors.offset", str(offset).encode()), ("deja-dlq-id", letter), *more]
        self.cluster.produce(told, 0, [(b"k", script("a0"), [("Idempotency-Key", b"a0"), *origin(0, b"7")]), (b"k", script("a1"), [("Idempotency-Key", b"a1"), *origin(1, b"8")]),
                                       (b"k", None, [("Idempotency-Key", b"a2"), *origin(2, b"9", ("deja-dlq-body", b"reference"))]),
                                       (b"k", b"{}", [("deja-dlq-id", b"7"), ("deja-dlq-status", b"replayed")])])
        row = self.import_("--from-topic", told, code=1)
        self.assertEqual([row[f] for f in ("matched", "accepted", "settled", "incomplete")], [3, 1, 1, 1])
        self.assertEqual([(letter["offset"], letter["status"]) for letter in self.letters()], [(1, "open")])
        self.assertEqual([(row["status"], row["dlq_id"]) for row in self.rows("key", "a1")], [("dead", self.letter(1))])
        self.rows("dlq", "discard", "--all", "--reason", "r", "--yes")
        self.put(record("a1", "ok", 1, b"k"), record("b", "ok", 2, b"k"))
        self.await_made("b")
        self.clean(program)

    def test_what_was_exported_comes_back_byte_for_byte(self):
        self.put((b"k\xff", b"\x00\xfe", [("Idempotency-Key", b"a"), ("raw", b"\xff"), ("none", None)]), record("b", "reject", 1))
        program = self.start()
        self.await_dead(0, 1)
        code, out, error = self.deja_plain("dlq", "export", "--all")
        self.assertEqual(code, 0, error)
        rows = 'group_id, topic, partition, "offset", record_key::text, value::text, headers::text, ordering, size'
        before = self.database.rows(f"select {rows} from deja.dead_letters order by \"offset\"")
        self.database.run("delete from deja.dead_letters")  # as in a database that they were not in
        path = self.file("letters.jsonl", *out.splitlines())
        row = self.import_(path)
        self.assertEqual((row["matched"], row["accepted"]), (2, 2))
        self.assertEqual(self.database.rows(f"select {rows} from deja.dead_letters order by \"offset\""), before)
        self.assertEqual(self.deja_plain("dlq", "export", "--all")[1], out)
        self.drain(program)

    def test_a_file_that_is_wrong_changes_nothing(self):
        _, program = self.move_here()
        good = json.dumps({"key": "k", "value": "{}", "headers": [], "topic": self.records, "partition": 0, "offset": 1})
        for lines, code, said in (((good, good[:-9]), 65, "line 2: is no JSON"), ((good, '{"key": "k"}'), 65, "line 2: says nowhere which record"), ((), 65, "nothing to import"),
                                  ((json.dumps({"topic": "nowhere", "partition": 0, "offset": 1}),), 65, "handles no nowhere/0"), ((json.dumps({"topic": self.records, "partition": 9, "offset": 1}),), 65, "handles no"),
                                  ((json.dumps({"headers": [["__connect.errors.topic", self.records]]}),), 65, "but not __connect.errors.partition")):
            with self.subTest(lines):
                self.assertIn(said, self.import_(self.file("wrong.jsonl", *lines), code=code))
        self.assertIn("cannot be read", self.import_("/nowhere", code=65))
        self.assertIn("from where", self.import_(code=64))
        self.assertIn("is not there", self.import_("--from-topic", "no-such-topic", code=65))
        self.assertEqual(self.letters(), [])
        self.drain(program)  # first, so that the patient one gets both
        self.put(record("b0", "ok", 0, b"k"), record("b1", "throw:1", 1, b"k"))
        program = self.start({"retry.max.attempts": 2, "start.from": "latest"} | PATIENT, log="patient")
        wait_until(lambda: len(self.rows("parked", "list")) == 1, 60, "a parked record", program)
        lines = [json.dumps({"key": "k", "value": script(f"b{n}", do, n).decode(), "headers": [["Idempotency-Key", f"b{n}"]], "topic": self.records, "partition": 0, "offset": 3 + n}) for n, do in ((0, "ok"), (1, "throw:1"))]
        known = self.import_(self.file("known.jsonl", *lines), code=1)
        self.assertEqual((known["accepted"], known["already_there"]), (0, 2), "D2: one took effect, one is parked")
        self.must("parked", "retry", "--all", "--reason", "r", "--yes", "--group", self.group, program="deja")
        self.await_made("b0", "b1")
        late = self.import_(self.file("late.jsonl", json.dumps({"topic": self.records, "partition": 0, "offset": 5})), code=1)
        self.assertEqual((late["accepted"], late["not_consumed"]), (0, 1))
        self.clean(program)


if __name__ == "__main__":
    main()
