"""D7, D8, D1, R5: for random sequences of failures, edits, replays, discards, restores and kills every record ends with one disposition and
one effect at most, and the order of each ordering key is what `dlq.order` promises (replay_oracle.py).

Operators type at two terminals while members of the group are killed, stopped and started. Nothing is asserted of a moment: commands may
come too early, too late or twice, and what they may not do is in the oracle.
"""

import json
import os
import random
import signal
import subprocess
import threading
import time
import zlib

import fault_oracle
import progress
import replay_oracle
from fault_sandbox import KEY, SEED, FaultTest, free_port, main, record, script, wait_until
from payments_oracle import Findings
from postgres_session import Database, SqlError, as_bytes
from sandbox import BIN

# clean, a finding, data that changed meanwhile, try again: what an operator may be told whose order crosses another's
RIGHT_CODES = (0, 1, 65, 75)
CUT_OFF = "cut off"


class Terminal(threading.Thread):
    """An operator who types commands by what the tables say at that moment, each when the one before has ended."""

    def __init__(self, test, name, dice, count):
        super().__init__(name=name, daemon=True)
        self.test, self.dice, self.count, self.told, self.trouble = test, dice, count, [], None
        self.database = Database(test.postgres_url)

    def run(self):
        try:
            for _ in range(self.count):
                (order,) = self.dice.choices([order for order, _ in ORDERS], [weight for _, weight in ORDERS])
                order(self)
        except Exception as error:  # noqa: BLE001 - the thread of the test raises it
            self.trouble = error
        finally:
            self.database.close()

    def type_in_peace(self, words):
        self.type(words, cut_off=0)

    def type(self, *orders, cut_off=0.05):
        """Each order is one command; several are typed at one moment. One in twenty is interrupted, whenever that may be."""
        started = []
        for words in orders:
            command = [os.path.join(BIN, "deja"), *words, "--group", self.test.group, "--reason", f"a ticket of {self.name}", "--yes", "--output", "json"]
            started.append((words, subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.test.environment, cwd=self.test.folder)))
        for words, process in started:
            limit = self.dice.uniform(0, 0.3) if self.dice.random() < cut_off else None
            try:
                out, error = process.communicate(timeout=limit or 150)
                code = process.returncode
            except subprocess.TimeoutExpired:
                process.kill()
                out, error = process.communicate()
                code = CUT_OFF
                if limit is None:
                    raise AssertionError(f"deja {' '.join(words)} did not end: {error.decode()}") from None
            self.told.append((f"{time.monotonic() - self.test.begun:.1f}", " ".join(words), code, error.decode().strip().splitlines()[-1:]))
            if code not in (*RIGHT_CODES, CUT_OFF):
                raise AssertionError(f"deja {' '.join(words)}: {code}\n{out.decode()}{error.decode()}")

    # --- what there is to choose from

    def some(self, sql, most):
        ids = [str(next(iter(row.values()))) for row in self.database.rows(sql)]
        return self.dice.sample(ids, min(len(ids), self.dice.randint(1, most)))

    def letters(self, status, most=6):
        return self.some(f"select id from deja.dead_letters where status = '{status}' order by id", most)

    def choice(self, status):
        """By ids, by a filter, or all."""
        ids = self.letters(status)
        way = self.dice.random()
        if way < 0.5:
            return ids or ["999999"]
        if way < 0.8:
            return ["--filter", self.dice.choice(["cause=exhausted", "cause=rejected or cause=operator", f"partition={self.dice.randrange(3)}", "attempts<5 and cause!=conflict",
                                                  f"offset<{self.dice.randrange(1, 100)}", "replays>=1", 'error~"told to"'])]
        return ["--all"]

    # --- orders

    def replay(self):
        words = ["dlq", "replay", *self.choice("open")]
        for option, value, share in (("--rate", self.dice.choice(["20", "200", "1000"]), 0.7), ("--canary", str(self.dice.randint(1, 4)), 0.2),
                                     ("--stop-ratio", self.dice.choice(["0", "0.3", "0.8"]), 0.2), ("--max-replays", "3", 0.1)):
            if self.dice.random() < share:
                words += [option, value]
        return words

    def replays(self):
        self.type(self.replay())

    def replays_twice(self):
        words = self.replay()
        self.type(words, words)

    def replays_against_a_discard(self):
        self.type(self.replay(), ["dlq", "discard", *self.choice("open")])

    def moves(self):
        actions = self.some("select id from deja.dlq_actions where kind = 'replay' order by id desc limit 4", 1)
        for action in actions:
            self.type(["dlq", self.dice.choice(["pause", "pause", "resume", "resume", "cancel"]), action])

    def discards(self):
        ids = self.letters("open", 4)
        self.type(["dlq", "discard", *(ids or ["--all"])])

    def restores(self):
        self.type(["dlq", "restore", *self.choice("discarded")])

    def edits(self):
        for letter in self.letters("open", 3):
            row = self.database.rows(f"select id, value, headers from deja.dead_letters where id = {letter}")[0]
            identity, seq, do = replay_oracle.script_of(as_bytes(row["value"]))
            path = os.path.join(self.test.folder, f"{self.name}-{letter}")
            if not any(name == KEY for name, _ in row["headers"]) and self.dice.random() < 0.7:
                with open(path, "w") as file:
                    json.dump([*row["headers"], [KEY, f"mended-{identity}" if self.dice.random() < 0.7 else f"r{self.dice.randrange(100)}"]], file)
                self.type(["dlq", "edit", letter, "--headers", path])
            elif not do.startswith("emit"):  # the oracle expects the events of the record
                with open(path, "wb") as file:
                    file.write(script(identity, self.dice.choice(["ok", "ok", "ok", "throw:5", "reject"]), seq))
                self.type(["dlq", "edit", letter, "--value", path])

    def parks(self):
        ids = self.some("select id from deja.parked order by id", 3)
        what = self.dice.choice(["retry", "retry", "discard", "dead-letter"])
        self.type(["parked", what, *(ids or ["--all"])] if what != "retry" or self.dice.random() < 0.5 else ["parked", "retry", "--all"])


ORDERS = [(Terminal.replays, 5), (Terminal.replays_twice, 2), (Terminal.replays_against_a_discard, 1), (Terminal.moves, 4), (Terminal.discards, 2), (Terminal.restores, 2),
          (Terminal.edits, 4), (Terminal.parks, 3)]


# What becomes of members. One that is away is missed after six seconds.
OFTEN = ["kill and start", "kill and start", "kill", "stop and start", "join", "leave"]
RARE = ["kill", "kill and start", "stop and start", "join", "leave", "freeze"]


class Storm(FaultTest):
    partitions = 3
    KINDS = [("ok", 60), ("throw:1", 8), ("throw:3", 8), ("throw:5", 3), ("throw", 2), ("sql-error", 2), ("reject", 6), ("emit:2", 5), ("slow-sql:5", 4)]

    def setUp(self):
        super().setUp()
        self.database.run(replay_oracle.HISTORY)

    def some_records(self, dice, first, count):
        """With producers that send twice, say two things under one key, and forget the key."""
        records = []
        for n in range(first, first + count):
            (do,) = dice.choices([kind for kind, _ in self.KINDS], [weight for _, weight in self.KINDS])
            key = None if dice.random() < 0.04 else b"k%d" % dice.randrange(10)
            records.append(record(f"r{n}", do, n, key))
            chance = dice.random()
            if chance < 0.06:
                records.append(records[-1])
            elif chance < 0.10:
                records.append(record(f"other-{n}", dice.choice(["ok", "throw:3"]), n, key, f"r{dice.randrange(n + 1)}"))
            elif chance < 0.13:
                records.append((key, script(f"keyless-{n}", "ok", n), []))
            elif chance < 0.15:
                again = dice.choice(records)
                records.append((b"k%d" % dice.randrange(10), *again[1:]))  # under another record key
        return records

    def storm(self, order, rounds, batch=5, lanes=2, per_round=50, orders=5, whats=OFTEN):
        seed = f"{SEED} {batch} {lanes} {zlib.crc32(self._testMethodName.encode())}"
        dice, self.begun = random.Random(seed), time.monotonic()
        told = self.topic("told", 2)
        settings = {"retry.max.attempts": 3, "retry.backoff.base.ms": 20, "retry.backoff.max.ms": 150, "flood.ratio": 1.0, "batch.max.records": batch, "lanes.per.partition": lanes,
                    "crash.max.starts": 100, "drain.timeout.ms": 10000, "dlq.order": order, "dlq.topic": told}
        names = ["one", "two", "three"]
        ports, members, story = {"one": self.port} | {name: free_port() for name in names[1:]}, {}, []

        def begin(name):
            members[name] = self.start(settings | {"kafka.consumer.group.instance.id": name}, name=name, port=ports[name])

        def stop(name):
            program = members.pop(name)
            self.await_log(program, " running ")  # before it nobody answers a signal
            self.drain(program)

        begin("one")
        begin("two")
        sent, typed = 0, []
        try:
            for turn in range(rounds):
                self.produce(self.records, self.some_records(dice, sent, per_round))
                sent += per_round
                total = sum(self.cluster.end_offsets(self.records).values())
                terminals = [Terminal(self, f"terminal-{turn}-{which}", random.Random(f"{seed} {turn} {which}"), orders) for which in "ab"]
                if turn == 0:
                    wait_until(self.letters, 120, "a dead letter to begin with", *members.values())
                for terminal in terminals:
                    terminal.start()
                until = total - dice.randrange(per_round)
                wait_until(lambda: self.consumed() >= until, 120, f"{until} records consumed", *members.values(), every=0.02)
                if dice.random() < 0.5:  # in the midst of a replay, if there will be one
                    wait_until(lambda: self.fed() or not any(map(Terminal.is_alive, terminals)), 180, "a replay under way", *members.values(), every=0.02)
                what = dice.choice(whats)
                name = dice.choice(sorted(members))
                story.append(f"{what} {name}")
                if what.startswith("kill"):
                    members.pop(name).kill()
                elif what.startswith("stop") or (what == "leave" and len(members) > 1):
                    stop(name)
                elif what == "freeze":
                    self.freeze(members[name], *(each for each in members.values() if each is not members[name]))
                away = [each for each in names if each not in members]
                if what == "kill" and not members or what.endswith("start"):
                    begin(name)
                elif what == "join" and away:
                    begin(away[0])
                for terminal in terminals:
                    terminal.join(300)
                    typed += terminal.told
                    self.assertFalse(terminal.is_alive(), f"{terminal.told[-1:]} was the last command that ended")
                    if terminal.trouble:
                        raise terminal.trouble
            self.settle(list(members.values()), typed)
            self.await_done([self.records], *members.values())
        except BaseException:
            print("\n".join(map(str, typed)), flush=True)
            raise
        finally:
            codes = [code for _, _, code, _ in typed]
            print(f"{self._testMethodName}: {', '.join(story)}; {len(typed)} commands, " + ", ".join(f"{codes.count(code)} x {code}" for code in (*RIGHT_CODES, CUT_OFF)), flush=True)
        for name in sorted(members):
            stop(name)
        self.judge(order, told)

    def freeze(self, program, *others):
        """Until it has lost its lanes, if there is somebody to take them."""
        of_it = f"exists(select from deja.lanes where group_id = '{self.group}' and instance like '%:{program.process.pid}:%')"
        self.await_log(program, " running ")
        program.signal(signal.SIGSTOP)
        if others:
            wait_until(lambda: not self.database.value(f"select {of_it}"), 120, "another owner of its lanes", *others)
        program.signal(signal.SIGCONT)

    def fed(self):
        return self.database.value("select exists(select from deja.dlq_items where state = 'parked')")

    # `p`: a parked record
    BEHIND_AN_OPEN_ONE = ("exists(select from deja.dead_letters d join deja.lanes l on l.id = d.lane and l.holds where d.lane = p.lane and d.ordering = p.ordering and d.status = 'open' "
                          'and d."offset" < p."offset")')

    def is_quiet(self):
        """Everything is consumed, and nothing is on its way, but for what waits behind a dead letter that holds."""
        return self.database.value("select not exists(select from deja.dlq_items where state = 'queued') "
                                   f"and not exists(select from deja.parked p where p.wanted is not null or not {self.BEHIND_AN_OPEN_ONE}) "
                                   "and not exists(select from deja.dlq_actions a where a.kind = 'replay' and a.state in ('running', 'paused') "
                                   "and not exists(select from deja.dlq_items i where i.action_id = a.id and i.state = 'parked'))") and (
            progress.unread(self.cluster, self.database, self.group, [self.records]) == 0)

    def await_quiet(self, members):
        try:
            wait_until(self.is_quiet, 180, "the group to be quiet", *members, every=0.1)
        except AssertionError as error:
            told = [json.dumps(row) for sql in (
                "select id, state, state_cause, accepted, fed, rate from deja.dlq_actions where kind = 'replay' and state in ('running', 'paused')",
                "select * from deja.dlq_items where state in ('queued', 'parked')",
                'select p.id, p.lane, l.partition, p."offset", p.ordering, convert_from(p.record_key, \'UTF8\') as key, p.attempt, p.suspect, p.starts, p.next_at, p.cause, p.wanted, p.dead_letter, p.paced from deja.parked p join deja.lanes l on l.id = p.lane order by 2, 5, 4',
                'select d.id, d.lane, d."offset", d.ordering, d.status, d.cause, d.replays, d.action_id from deja.dead_letters d where status in (\'open\', \'replaying\') order by 2, 4, 3',
                "select id, topic, partition, lane, next_offset, parked_version, paused_cause, blocked_by, holds, clean from deja.lanes order by id") for row in self.database.rows(sql)]
            raise AssertionError(f"{error}\n" + "\n".join(told)) from None

    def settle(self, members, typed):
        """Goes on with what is paused, replays what is open, and discards what fails again, until there is nothing."""
        operator = Terminal(self, "the-last-one", random.Random(0), 0)
        tried = set()
        try:
            # One that waits for its first letters may wait behind a dead letter that holds, which is nobody's fault but the operator's.
            for row in self.database.rows("select id, state, coalesce(canary, stop_ratio) is null as goes_on from deja.dlq_actions where kind = 'replay' and state in ('running', 'paused') order by id"):
                if row["state"] == "paused" or not row["goes_on"]:
                    operator.type_in_peace(["dlq", "resume" if row["goes_on"] else "cancel", str(row["id"])])
            for _ in range(80):
                self.await_quiet(members)
                letters = [row["id"] for row in self.database.rows("select id from deja.dead_letters where status = 'open' order by id")]
                if not letters and progress.parked(self.database, self.group) == 0:
                    return
                again = [letter for letter in letters if letter not in tried]
                if again:
                    operator.type_in_peace(["dlq", "replay", *map(str, again), "--rate", "1000"])
                if len(again) < len(letters):
                    operator.type_in_peace(["dlq", "discard", *(str(letter) for letter in letters if letter in tried)])
                tried |= set(again)
            self.fail("it is never settled")
        finally:
            operator.database.close()
            typed += operator.told

    def judge(self, order, told):
        findings = Findings()
        log, facts = self.cluster.read(self.records), replay_oracle.Facts(self.database, self.group)
        outcomes = replay_oracle.check(log, facts, order == "hold", self.cluster.read(told), findings)
        fault_oracle.check_events(self.cluster.read(self.events), log, facts.effects, findings)
        for words in (("audit",), ("audit-log", "--verify")):
            code, out, error = self.once(*words, "--group", self.group, program="deja")
            if code:
                findings.add(f"deja {' '.join(words)} ended with {code}", out + error)
        counts = list(outcomes.values())
        print(f"{self._testMethodName}: {len(log)} records, " + ", ".join(f"{counts.count(each)} {each}" for each in sorted(set(counts))) +
              f"; {len(facts.letters)} dead letters, {len(facts.items)} replayed in {len([a for a in facts.actions if a['kind'] == 'replay'])} replays", flush=True)
        self.assert_clean(findings)


class WhenOperatorsAndMembersDoAsTheyPlease(Storm):
    def test_D8_R5_continue(self):
        self.storm("continue", 3)

    def test_D8_R5_hold(self):
        self.storm("hold", 2, batch=20, lanes=3)


class WhenTheyDoSoForLong(Storm):
    def test_D8_R5_continue_in_small_batches(self):
        self.storm("continue", 7, batch=3, whats=RARE)

    def test_D8_R5_continue_in_one_lane(self):
        self.storm("continue", 7, batch=500, lanes=1, per_round=100, orders=8, whats=RARE)

    def test_D8_R5_hold_in_small_batches(self):
        self.storm("hold", 5, batch=3, whats=RARE)

    def test_D8_R5_hold_in_one_lane(self):
        self.storm("hold", 5, batch=500, lanes=1, per_round=80, orders=8, whats=RARE)


if __name__ == "__main__":
    main()
