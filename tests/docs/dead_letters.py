#!/usr/bin/env python3
"""Runs the commands of docs/runbooks/dead-letters.md as written, at a terminal, and holds what they do against what the page says.

Needs $DEJA_KAFKA and $DEJA_POSTGRES. usage: dead_letters.py SOURCE_DIR BUILD_DIR [TEST ..]
"""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import unittest

SOURCE, BUILD = (os.path.realpath(path) for path in sys.argv[1:3])
os.environ.setdefault("DEJA_BIN", os.path.join(BUILD, "bin"))
sys.path.insert(0, os.path.join(SOURCE, "tests", "support"))

import pages  # noqa: E402
from payments_run import EVENTS, TOPIC, PaymentsTest  # noqa: E402
from programs import wait_until  # noqa: E402
from sandbox import BIN  # noqa: E402

PAGE = "docs/runbooks/dead-letters.md"
KEY = "Idempotency-Key"
QUICK = {"retry.max.attempts": 2, "retry.backoff.base.ms": 20, "retry.backoff.max.ms": 20, "flood.ratio": 1.0, "retry.budget.ratio": 1.0}
# What is away, or wrong in a release, fails here.
GATE = """create table gate (account text primary key, error text);
create function gate() returns trigger language plpgsql as $$
declare why text; begin
  select error into why from gate where account = new.account;
  if found then raise exception '%', why; end if;
  return new;
end $$;
create trigger gate before insert on ledger for each row execute function gate();"""


def sections():
    """Heading -> its commands, block by block: those over several lines in one."""
    text, found = pages.read(SOURCE, PAGE), {}
    lines = text.splitlines()
    for block in pages.blocks(PAGE, text):
        heading = next(line for line in reversed(lines[:block.line]) if line.startswith("#")).lstrip("# ")
        found.setdefault(heading, []).append(block.text.replace("\\\n", "").splitlines())
    return found


def payment(number, amount=1250, account=None, key=None, identity=None):
    identity = identity or f"pay-{number}"
    account = account or f"a-{number}"
    value = json.dumps({"payment_id": identity, "account": account, "amount_cents": amount}).encode()
    return account.encode(), value, [(KEY, (key or identity).encode())] if key != "" else []


class Runbook(PaymentsTest):
    maxDiff = None

    def setUp(self):
        super().setUp()
        self.addCleanup(lambda: [self.cluster.delete_topic(topic) for topic in (TOPIC, EVENTS, self.dead_topic)])
        self.database.run(GATE)
        self.environment |= {"PATH": f"{BIN}:{os.environ['PATH']}"}
        self.program_running = self.start(self.payment_settings(QUICK))
        # What the page names and this run calls otherwise. Ids, fingerprints and times are added when they are known.
        self.names = {"--group payments": f"--group {self.group}"}

    # --- as at a terminal

    def as_here(self, command):
        there = "|".join(re.escape(name) for name in self.names)
        return re.sub(rf"(?<![\w-])({there})(?![\w-])", lambda found: self.names[found[1]], command)

    def runs(self, command, code=0, editor=None):
        """Answers yes where it asks; what the terminal showed."""
        master, slave = pty.openpty()
        environment = self.environment | ({"EDITOR": editor} if editor else {})
        process = subprocess.Popen(["bash", "-o", "pipefail", "-c", self.as_here(command)], stdin=slave, stdout=slave, stderr=slave, cwd=self.folder, env=environment, start_new_session=True)
        os.close(slave)
        shown, answered = b"", False
        try:
            while True:
                self.assertTrue(select.select([master], [], [], 120)[0], f"{command}\n{shown.decode(errors='replace')}")
                try:
                    piece = os.read(master, 4096)
                except OSError:  # the other end is closed
                    break
                if not piece:
                    break
                shown += piece
                if b"Go on (yes)? " in shown and not answered:  # with the blank, or it would come behind the echo
                    os.write(master, b"yes\n")
                    answered = True
            found, text = process.wait(60), shown.decode(errors="replace").replace("\r\n", "\n")
            self.assertEqual(found, code, f"{self.as_here(command)}\n{text}")
            return text
        finally:
            process.kill()
            process.wait()
            os.close(master)

    def row(self, shown):
        """The only row of a table that was shown, by its columns."""
        lines = [line for line in shown.splitlines() if line.strip()]
        head = next((n for n, line in enumerate(lines) if re.fullmatch(r"[a-z_]+( +[a-z_]+)+ *", line)), None)
        self.assertIsNotNone(head, f"there is no table in {shown!r}")
        begins = [match.start() for match in re.finditer(r"\S+", lines[head])]
        values = [lines[head + 1][begin:end].strip() for begin, end in zip(begins, [*begins[1:], None])]
        return dict(zip(lines[head].split(), values))

    # --- what there is

    def letters(self, where="true"):
        return self.database.rows(f"select * from deja.dead_letters where {where} order by id")

    def letter_of(self, key):
        (row,) = self.letters(f"convert_from(idempotency_key, 'UTF8') = '{key}'")
        return row

    def await_letters(self, count, where="status = 'open'"):
        wait_until(lambda: len(self.letters(where)) == count, 60, f"{count} dead letters where {where}", self.program_running)

    def poison(self, number, *records):
        """A dead letter that the page calls by this number."""
        before = {row["id"] for row in self.letters()}
        self.produce(TOPIC, records)
        wait_until(lambda: len(self.letters()) == len(before) + 1, 60, "a dead letter", self.program_running)
        (new,) = [row["id"] for row in self.letters() if row["id"] not in before]
        self.names[str(number)] = str(new)
        return new

    def shut(self, error, *accounts):
        for account in accounts:
            self.database.run(f"insert into gate values ('{account}', '{error}')")

    def open(self):
        self.database.run("delete from gate")

    def ledger(self):
        return [(row["payment_id"], row["amount_cents"]) for row in self.database.rows("select payment_id, amount_cents from ledger order by id")]

    def status(self, letter):
        (row,) = self.letters(f"id = {letter}")
        return row["status"]

    def settled(self):
        """Everything has its end, and every event is published; the audit agrees."""
        self.await_done([TOPIC], self.program_running)
        self.drain(self.program_running)
        self.must("audit", "--group", self.group, program="deja")
        self.must("audit-log", "--verify", program="deja")


class WhenThereAreDeadLetters(Runbook):
    def test_the_page_has_the_situations_that_are_tried_here(self):
        self.assertEqual({heading: [len(block) for block in blocks] for heading, blocks in sections().items()},
                         {"Dead letters": [1], "One poison record": [3, 2], "A bad deploy": [1, 1, 3, 2, 1], "An outage that slipped through": [2], "One key, two payloads": [2, 3],
                          "A record that needs mending": [2, 3, 2], "What must never take effect": [2, 2], "From another framework": [3, 2]})

    def test_one_poison_record(self):
        (stats,), ((listed, show, key), (forecast, replay)) = sections()["Dead letters"][0], sections()["One poison record"]
        self.shut("account a-17 is closed", "a-17")
        letter = self.poison(17, payment(17))
        self.assertIn("exhausted", self.runs(stats))
        self.assertIn("account a-17 is closed", self.runs(listed))
        shown = self.runs(show)
        self.assertIn("attempt 1", shown)
        self.assertIn('"payment_id": "pay-17"', shown)
        self.assertIn("dead", self.runs(key))
        found = self.row(self.runs(forecast))
        self.assertEqual((found["accepted"], found["would_run"]), ("1", "1"))
        self.assertEqual((self.status(letter), self.ledger()), ("open", []))
        self.runs(replay, code=1)  # nothing has changed: it fails again
        (row,) = self.letters()
        self.assertEqual((row["status"], row["replays"], row["attempts"]), ("open", 1, 4))
        self.open()
        self.assertIn("] 1/1", self.runs(replay))
        self.assertEqual((self.status(letter), self.ledger()), ("replayed", [("pay-17", 1250)]))
        self.assertIn("processed", self.runs(key))
        self.produce(TOPIC, [payment(17)])
        self.settled()
        self.assertEqual(self.ledger(), [("pay-17", 1250)], "its key is taken")

    def test_a_bad_deploy(self):
        (forecast,), (replay,), (actions, pause, resume), (failed, otherwise), (cancel,) = sections()["A bad deploy"]
        total = 300  # at 20 a second there is time to look
        numbers = range(100, 100 + total)
        self.shut("a defect of this release", *(f"a-{n}" for n in numbers))
        self.produce(TOPIC, [payment(n) for n in numbers])
        self.await_letters(total)
        self.names["3f1c"] = self.letters()[0]["fingerprint"]
        self.assertEqual(self.row(self.runs(forecast))["build_unchanged"], str(total), "the release still runs")
        self.database.run("update deja.dead_letters set build = 'the release before'")
        found = self.row(self.runs(forecast))
        self.assertEqual((found["accepted"], found["would_run"], found["build_unchanged"]), (str(total), str(total), "0"))

        # the fix is none: the first five show it, and the others stay as they are
        self.names["42"] = self.row(self.runs(replay))["action_id"]
        self.await_state("stopped")
        found = self.row(self.runs(actions))
        self.assertEqual((found["state"], found["failed"], found["queued"], found["running"], found["cancelled"]), ("stopped", "5", "0", "0", str(total - 5)))
        self.assertEqual(len(self.runs(failed).splitlines()), 1 + 5, "those that failed again")
        self.await_letters(total)

        self.open()
        self.names["42"] = self.row(self.runs(replay))["action_id"]
        wait_until(lambda: len(self.ledger()) >= 8, 60, "the canary and a few more", self.program_running)
        self.assertEqual(self.row(self.runs(pause))["state"], "paused")
        wait_until(lambda: self.row(self.runs(actions))["running"] == "0", 60, "what was under way", self.program_running)
        made = len(self.ledger())
        found = self.row(self.runs(actions))
        self.assertEqual((found["state"], found["done"], found["queued"]), ("paused", str(made), str(total - made)))
        self.assertEqual(self.row(self.runs(resume))["state"], "running")
        wait_until(lambda: len(self.ledger()) > made, 60, "more effects", self.program_running)
        self.assertEqual(self.row(self.runs(cancel))["state"], "cancelled")
        made = len(self.ledger())
        self.assertLess(made, total)
        self.assertEqual((len(self.letters("status = 'open'")), len(self.letters("status = 'replayed'"))), (total - made, made))
        self.assertEqual(len(self.runs(otherwise).splitlines()), 1, "all that ended did so as foretold")

        self.names["42"] = self.row(self.runs(replay))["action_id"]
        self.await_state("done")
        self.settled()
        self.assertEqual(sorted(self.ledger()), sorted((f"pay-{n}", 1250) for n in numbers))

    def await_state(self, state):
        wait_until(lambda: self.database.value(f"select state from deja.dlq_actions where id = {self.names['42']}") == state, 60, f"the replay to be {state}", self.program_running)

    def test_an_outage_that_slipped_through(self):
        ((listed, replay),) = sections()["An outage that slipped through"]
        self.names["2026-11-22T08:00Z"] = self.database.value("select to_char((now() - interval '1 hour') at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI\"Z\"')")
        self.shut("ledger-api: connection refused", *(f"a-{n}" for n in range(30)))
        self.shut("something else", "a-30")
        self.produce(TOPIC, [payment(n) for n in range(31)])
        self.await_letters(31)
        self.assertEqual(len(self.runs(listed).splitlines()), 1 + 30)
        self.assertIn("the replay is stopped: of the first, 3 of 3 failed", self.runs(replay, code=1), "it is still away")
        self.await_letters(31)
        self.database.run("delete from gate where account <> 'a-30'")
        found = self.runs(replay)
        self.assertIn("failed in the build that runs now", found)
        self.assertEqual(len(self.ledger()), 30)
        self.assertEqual([row["error"].count("something else") for row in self.letters("status = 'open'")], [1])
        self.settled()

    def test_one_key_two_payloads(self):
        (show, key), (send, other, discard) = sections()["One key, two payloads"]
        self.produce(TOPIC, [payment(18)])
        letter = self.poison(18, payment(18, amount=999))
        self.assertEqual(self.letters()[0]["cause"], "conflict")
        self.assertIn("conflict_with", self.runs(show))
        self.assertIn("processed", self.runs(key))
        self.runs("deja dlq replay 18 --group payments --reason 'it is refused'", code=65)
        self.runs(send)
        wait_until(lambda: len(self.ledger()) == 2, 60, "the second payment", self.program_running)
        self.assertEqual(self.ledger(), [("pay-18", 1250), ("pay-18", 999)])
        self.assertIn("processed", self.runs(other))
        self.assertEqual(self.row(self.runs(discard))["accepted"], "1")
        self.assertEqual(self.status(letter), "discarded")
        self.produce(TOPIC, [payment(18)])
        self.settled()
        self.assertEqual(len(self.ledger()), 2)

    def test_a_record_that_needs_mending(self):
        (edit, replay), (copy, from_file, edits), (headers, with_key) = sections()["A record that needs mending"]
        self.assertEqual(self.poison(19, payment(19, amount=12.5)), self.letters("cause = 'rejected'")[0]["id"])
        shown = self.runs(edit, editor="sed -i s/12.5/1250/")
        self.assertIn('-{"payment_id": "pay-19", "account": "a-19", "amount_cents": 12.5}', shown)
        self.assertIn('+{"payment_id": "pay-19", "account": "a-19", "amount_cents": 1250}', shown)
        self.runs(replay)

        self.poison(20, payment(20, amount=12.5))
        self.runs(copy)
        self.runs(from_file)
        shown = self.runs(edits)
        self.assertIn("ticket 4713: cents, not euros", shown)
        self.assertIn("12.5", shown)
        self.runs("deja dlq replay 20 --wait --group payments --reason 'mended'")

        letter = self.poison(21, payment(21, key=""))
        self.assertEqual(self.letters(f"id = {letter}")[0]["cause"], "key_missing")
        with open(os.path.join(self.folder, "add-the-key"), "w") as script:
            script.write(f"#!/bin/sh\nprintf '[[\"{KEY}\", \"pay-21\"]]' > \"$1\"\n")
        self.runs(headers, editor=f"sh {self.folder}/add-the-key")
        self.runs(with_key)
        self.assertEqual(self.ledger(), [("pay-19", 1250), ("pay-20", 1250), ("pay-21", 1250)])

        self.produce(TOPIC, [payment(19, amount=12.5), payment(21)])  # the original again; and the one whose key came by hand
        self.poison(0, payment(20))  # what was mended, from the producer
        self.assertEqual(self.letters("status = 'open'")[0]["cause"], "conflict")
        self.settled()
        self.assertEqual(len(self.ledger()), 3)
        self.assertEqual(len(self.letters()), 4, "the others were duplicates")

    def test_what_must_never_take_effect(self):
        (discard, key), (restore, replay) = sections()["What must never take effect"]
        self.shut("a closed account", "a-22")
        letter = self.poison(22, payment(22))
        self.open()
        self.runs(discard)
        self.assertEqual(self.status(letter), "discarded")
        self.assertIn("discarded", self.runs(key))
        self.produce(TOPIC, [payment(22)])
        self.await_done([TOPIC], self.program_running)
        self.assertEqual(self.ledger(), [], "sent again, it is a duplicate")
        self.runs(restore)
        self.assertEqual(self.status(letter), "open")
        self.runs(replay)
        self.assertEqual((self.status(letter), self.ledger()), ("replayed", [("pay-22", 1250)]))
        self.settled()

    def test_from_another_framework(self):
        (from_topic, listed, replay), (export, from_file) = sections()["From another framework"]
        foreign = self.topic("payments.DLT", 1)
        self.names["payments.DLT"] = foreign
        self.produce(TOPIC, [payment(n) for n in range(3)])
        wait_until(lambda: len(self.ledger()) == 3, 60, "what the group has consumed", self.program_running)
        consumed = next(partition for partition, end in self.cluster.end_offsets(TOPIC).items() if end > 0)
        key, value, headers = payment(50)
        origin = [("kafka_dlt-original-topic", TOPIC.encode()), ("kafka_dlt-original-partition", consumed.to_bytes(4, "big")), ("kafka_dlt-original-offset", bytes(8)),
                  ("kafka_dlt-exception-fqcn", b"java.lang.IllegalStateException"), ("kafka_dlt-exception-message", b"no such account")]
        self.cluster.produce(foreign, 0, [(key, value, headers + origin)])
        self.assertEqual(self.row(self.runs(from_topic))["accepted"], "1")
        self.assertIn("java.lang.IllegalStateException: no such account", self.runs(listed))
        self.assertIn("] 1/1", self.runs(replay))
        self.assertEqual(self.ledger()[-1], ("pay-50", 1250))
        self.runs(from_topic, code=1)  # it is here already
        self.runs(export)
        self.assertEqual(self.row(self.runs(from_file, code=1))["already_there"], "1")
        self.drain(self.program_running)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ctest's end must not leave programs behind
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
