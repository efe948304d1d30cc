"""D3, R2: most records fail with one cause. That is taken for an outage, until they pass or an operator says that it is poison."""

import json

from fault_sandbox import FaultTest, main, record, scrape, wait_until
from programs import http_get

WATCHING, OUTAGE, POISON = 0, 1, 2
LEAST = 50  # records from which a share says something


DAY = 86_400_000
LONG = {"retry.backoff.base.ms": DAY, "retry.backoff.max.ms": DAY, "retry.deadline.ms": 7 * DAY}  # hardly anything comes due by itself


class WhenMostRecordsFailWithOneCause(FaultTest):
    def start(self, more=None, **options):
        """With attempts that last until the guard has seen enough records: what is spent before that is spent."""
        return super().start({"breaker.open.ms": 200, "retry.max.attempts": 20} | (more or {}), **options)

    def state(self):
        try:
            return scrape(self.port).sum("deja_flood_guard_state", handler="probe")
        except OSError:  # it does not answer yet
            return None

    def await_state(self, state, program):
        wait_until(lambda: self.state() == state, 60, f"state {state} of the flood guard", program)

    def flood(self):
        return [json.loads(line) for line in self.must("flood", "--output", "json", "--group", self.group, program="deja").splitlines()]

    def rule(self, what):
        self.must("flood", what, "--handler", "probe", "--reason", "a ticket", "--yes", "--group", self.group, program="deja")

    def await_row(self, state, program):
        wait_until(lambda: [row["state"] for row in self.flood()] == [state], 20, f"{state} in the database", program)

    def retry_parked_until(self, reached, what, program):
        """One may come due by chance, so that there is none any more when the order comes."""
        def retried():
            self.once("parked", "retry", "--all", "--reason", "now", "--yes", "--group", self.group, program="deja")
            return reached()
        wait_until(retried, 120, what, program, every=0.5)

    def break_the_table(self):
        """Every record fails in Postgres, until it is mended."""
        self.database.run("alter table probe_effects add constraint broken check (false) not valid")

    def mend(self):
        self.database.run("alter table probe_effects drop constraint broken")

    def test_D3_all_of_them_wait_and_an_operator_is_told_why(self):
        self.break_the_table()
        self.send(500, keys=1000)
        program = self.start()
        self.await_state(OUTAGE, program)
        self.await_log(program, "flood: most records fail with one cause")
        (flood,) = json.loads(http_get(self.port, "/status"))["floods"]
        self.assertEqual((flood["handler"], flood["state"]), ("probe", "outage"))
        self.assertIn("violates check constraint", flood["cause"])
        self.await_row("outage", program)
        (row,) = self.flood()
        self.assertEqual(set(row), {"dependency", "handler", "state", "since", "cause", "fingerprint"})
        self.assertEqual((row["dependency"], row["handler"], row["cause"]), (None, "probe", flood["cause"]))
        wait_until(lambda: scrape(self.port).sum("deja_lanes_paused", cause="flood") == 2, 30, "both lanes paused", program)
        paused = [lane for lane in json.loads(http_get(self.port, "/status"))["lanes"] if lane["paused_cause"]]
        self.assertIn("violates check constraint", paused[0]["paused_cause"])
        self.assertRegex(paused[0]["blocked_by"], r"^flood guard \((parked, )?offset \d+\)$")
        tried = scrape(self.port).sum("deja_attempts_total", result="unavailable")
        wait_until(lambda: scrape(self.port).sum("deja_attempts_total", result="unavailable") > tried + 3, 60, "further tries", program)
        self.assertEqual((self.letters(), self.effects()), (0, 0), "nothing is spent")
        self.mend()
        outcomes, _, _ = self.finish(program)
        self.assertEqual(outcomes, {"processed": 500})

    def test_D3_the_flood_ends_by_itself(self):
        self.break_the_table()
        # in one lane, and with time: half of them, in a lane that begins seconds before the other, are too few to be a flood
        self.send(100, keys=1000, partition=0)
        program = self.start()
        self.await_state(OUTAGE, program)
        self.mend()
        self.await_state(WATCHING, program)
        self.await_log(program, "the flood is over")
        self.assertEqual(self.finish(program)[0], {"processed": 100})
        self.assertEqual(self.flood(), [], "a program that has ended shows nothing")

    def test_D3_some_of_many_are_no_flood(self):
        self.send(500, do=lambda n: "throw" if n % 50 == 0 else "ok", keys=1000)
        program = self.start({"retry.max.attempts": 2})
        outcomes, _, _ = self.finish(program, letters=10)
        self.assertEqual(outcomes, {"processed": 490, "exhausted": 10})
        self.assertNotIn("flood", program.log_text())

    def test_D3_an_operator_says_that_it_is_poison(self):
        code, _, error = self.once("flood", "poison", "--handler", "probe", "--reason", "x", "--yes", "--group", self.group, program="deja")
        self.assertEqual((code, "has no flood" in error), (65, True), error)
        self.send(200, do="throw", keys=1000)
        program = self.start(LONG | {"retry.max.attempts": 2})
        self.await_state(OUTAGE, program)
        self.await_row("outage", program)
        self.assertEqual(self.letters(), 0)
        self.rule("poison")
        self.retry_parked_until(lambda: self.letters() == 200, "200 dead letters", program)
        self.await_done([self.records], program)
        self.assertEqual((self.state(), self.letters()), (POISON, 200))
        self.assertIn({"action": "flood poison", "reason": "a ticket", "handler": "probe"},
                      self.database.rows("select action, reason, detail->>'handler' as handler from deja.audit_log"))
        self.drain(program)
        # the ruling is known to who comes next
        self.send(200, do="throw", keys=1000)
        outcomes, _, _ = self.finish(self.start({"retry.max.attempts": 2}, log="again"), letters=400)
        self.assertEqual(outcomes, {"exhausted": 400})

    def test_D3_a_ruling_is_taken_back(self):
        self.break_the_table()
        self.send(100, keys=1000)
        program = self.start({"retry.max.attempts": 50, "retry.backoff.base.ms": 100, "retry.backoff.max.ms": 1000})
        self.await_state(OUTAGE, program)
        self.await_row("outage", program)
        self.rule("poison")
        self.await_row("poison", program)
        code, _, error = self.once("flood", "poison", "--handler", "probe", "--reason", "x", "--yes", "--group", self.group, program="deja")
        self.assertEqual(code, 65, error)
        self.rule("outage")
        self.await_row("outage", program)
        self.await_state(OUTAGE, program)
        code, _, error = self.once("flood", "outage", "--handler", "probe", "--reason", "x", "--yes", "--group", self.group, program="deja")
        self.assertEqual((code, "lanes pause" in error), (65, True), error)
        self.mend()
        self.assertEqual(self.finish(program)[0], {"processed": 100})

    def test_D3_R2_a_restart_in_the_midst_of_it_makes_no_dead_letters(self):
        """All that comes is parked already, and its attempts are few."""
        self.break_the_table()
        self.send(LEAST - 5, keys=1000)
        program = self.start(LONG)
        wait_until(lambda: self.database.value("select count(*) from deja.parked where attempt > 0") == LEAST - 5, 60, "all parked", program)
        self.drain(program)
        self.send(10, keys=1000)
        self.database.run("update deja.parked set next_at = now()")
        program = self.start(LONG | {"retry.max.attempts": 4}, log="again")
        self.await_state(OUTAGE, program)
        self.assertEqual(self.letters(), 0)
        self.mend()
        self.await_state(WATCHING, program)
        self.assertEqual(program.terminate(), 0, program.log_end())

    def test_R2_attempts_of_the_cause_are_given_back(self):
        self.break_the_table()
        program = self.start(LONG)
        self.send(LEAST - 10, keys=1000)

        def parked(attempt):
            return self.database.value(f"select count(*) from deja.parked where attempt {attempt}")
        wait_until(lambda: parked("> 0") == LEAST - 10, 60, "the first ones, parked", program)
        self.assertEqual(self.state(), WATCHING)
        self.cluster.produce(self.records, 0, [record("other", "throw", 1, b"other")])  # of another cause
        wait_until(lambda: parked("> 0") == LEAST - 9, 60, "the other one, parked", program)
        self.send(20, keys=1000)
        self.await_state(OUTAGE, program)
        wait_until(lambda: parked("= 0") >= LEAST - 10, 60, "the attempts given back", program)
        self.assertEqual(self.database.value("select count(*) from deja.parked where attempt > 0 and error not like '%violates%'"), 1)
        self.mend()
        self.await_state(WATCHING, program)
        self.retry_parked_until(lambda: self.effects() >= LEAST + 10, "all effects", program)
        self.assertEqual(self.letters(), 0)


if __name__ == "__main__":
    main()
