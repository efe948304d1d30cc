"""D9: a dependency that a handler needs is away. Its breaker opens, what needs it waits, the rest goes on, and nothing is spent."""

import json
import time

from fault_sandbox import FaultTest, main, record, scrape, wait_until
from programs import http_get

OPEN_MS = 700


class OutageTest(FaultTest):
    def start_with_an_outage(self, open_ms, more=None):
        """In partition 0 the sixth record of twenty needs what is away; partition 1 needs nothing of it."""
        self.database.run("insert into probe_switches values ('down', true) on conflict (name) do update set value = true")
        self.cluster.produce(self.records, 0, [record(f"a{n}", "unavailable" if n == 5 else "ok", n) for n in range(20)])
        self.cluster.produce(self.records, 1, [record(f"b{n}", "ok", n) for n in range(20)])
        program = self.start({"breaker.failure.count": 3, "breaker.open.ms": open_ms} | (more or {}))
        self.await_metric("deja_attempts_total", 1, program, result="unavailable")
        if not more:
            self.await_metric("deja_breaker_state", 2, program, dependency="probe")
        self.await_effects(25, program)
        return program

    def back(self):
        self.database.run("update probe_switches set value = false")


class WhenADependencyIsAway(OutageTest):
    def refusals(self):
        return scrape(self.port).sum("deja_attempts_total", result="unavailable")

    def breakers(self):
        return [json.loads(line) for line in self.must("breakers", "--output", "json", "--group", self.group, program="deja").splitlines()]

    def test_D9_it_waits_with_all_it_has_and_goes_on(self):
        program = self.start_with_an_outage(OPEN_MS)
        status = json.loads(http_get(self.port, "/status"))
        (breaker,) = status["breakers"]
        self.assertEqual((breaker["dependency"], breaker["handler"], breaker["cause"]), ("probe", "probe", "probe is unavailable"))
        self.assertIn(breaker["state"], ("open", "half_open"))
        (paused,) = [lane for lane in status["lanes"] if lane["paused_cause"]]
        self.assertEqual((paused["partition"], paused["next_offset"], paused["blocked_by"]), (0, 5, "probe (offset 5)"))
        self.assertIn("its breaker is open", paused["paused_cause"])
        wait_until(lambda: [row for row in self.breakers() if row["state"] != "closed"], 20, "the breaker in the database", program)
        self.assertEqual(set(self.breakers()[0]), {"dependency", "handler", "state", "since", "cause"})

        rebalances = scrape(self.port).sum("deja_rebalances_total")
        since, calls = time.monotonic(), self.refusals()
        wait_until(lambda: self.refusals() >= calls + 4, 60, "further probes", program)
        self.assertGreaterEqual(time.monotonic() - since, 3 * OPEN_MS / 1000, "one call, then a pause, and so on")
        self.assertEqual((self.consumed(), self.effects(), self.letters()), (25, 25, 0))
        self.assertEqual((scrape(self.port).sum("deja_rebalances_total"), scrape(self.port).sum("deja_lanes_owned")), (rebalances, 2))

        self.back()
        outcomes, _, _ = self.finish(program)
        self.assertEqual(outcomes, {"processed": 40})

    def test_D9_an_operator_need_not_wait_for_the_probe(self):
        program = self.start_with_an_outage(open_ms=3_600_000)
        wait_until(lambda: [row for row in self.breakers() if row["state"] == "open"], 20, "the breaker in the database", program)
        code, _, error = self.once("breakers", "reset", "nobody", "--reason", "x", "--yes", "--group", self.group, program="deja")
        self.assertEqual(code, 65, error)
        self.back()
        asked = self.must("breakers", "reset", "probe", "--reason", "it is back", "--yes", "--group", self.group, "--output", "json", program="deja")
        self.assertEqual({name: json.loads(asked)[name] for name in ("dependency", "handler")}, {"dependency": "probe", "handler": "probe"})
        self.await_done([self.records], program)
        self.await_log(program, "breaker is closed")
        actions = self.database.rows("select action, reason, detail->>'dependency' as dependency from deja.audit_log")
        self.assertIn({"action": "breakers reset", "reason": "it is back", "dependency": "probe"}, actions)
        outcomes, _, _ = self.finish(program)
        self.assertEqual(outcomes, {"processed": 40})
        self.assertEqual(self.breakers(), [], "a program that has ended shows nothing")

    def test_D9_who_takes_the_lane_over_asks_for_itself(self):
        first = self.start_with_an_outage(open_ms=3_600_000)
        self.back()
        self.assertEqual(first.terminate(), 0, first.log_end())
        outcomes, _, _ = self.finish(self.start({"breaker.open.ms": 3_600_000}, log="again"))
        self.assertEqual(outcomes, {"processed": 40})


class WhenAnOperatorDecides(OutageTest):
    def deja(self, *words):
        return json.loads(self.must(*words, "--group", self.group, "--output", "json", program="deja"))

    def order(self, word, *more):
        return self.deja("lanes", word, "--topic", self.records, "--partition", "0", "--reason", "a ticket", "--yes", *more)

    def test_R4_one_record_is_moved_out_of_the_way(self):
        program = self.start_with_an_outage(open_ms=3_600_000)
        wait_until(lambda: self.database.value("select max(blocked_by) from deja.lanes") == "probe (offset 5)", 20, "the record's name in the row", program)
        done = self.order("dead-letter")  # the one that holds it up
        self.assertEqual(done["offset"], 5)
        self.await_done([self.records], program)
        (letter,) = self.database.rows("select id, cause, stage, error, \"offset\" as at from deja.dead_letters")
        self.assertEqual((letter["at"], letter["cause"], letter["stage"], letter["id"]), (5, "operator", "operator", done["dlq_id"]))
        self.assertIn("a ticket", letter["error"])
        self.assertEqual(self.effects(), 39)
        code, _, error = self.once("lanes", "dead-letter", "--topic", self.records, "--partition", "0", "--offset", "5", "--reason", "x", "--yes",
                                   "--group", self.group, program="deja")
        self.assertEqual((code, "was consumed" in error), (65, True), error)
        self.back()
        self.cluster.produce(self.records, 0, [record("a5", "ok", 5)])  # its key is free: B3
        self.await_effects(40, program)
        self.drain(program)

    def test_R4_an_order_does_not_wait_for_the_next_try(self):
        hours = 10 * 3_600_000
        program = self.start_with_an_outage(hours, {"breaker.failure.count": 10_000, "retry.backoff.base.ms": hours, "retry.backoff.max.ms": hours,
                                                    "retry.deadline.ms": hours})
        self.assertIsNotNone(self.order("dead-letter", "--offset", "5")["dlq_id"])
        self.await_done([self.records], program)
        self.drain(program)

    def test_R4_one_order_at_a_time(self):
        program = self.start()
        self.await_metric("deja_lanes_owned", 2, program)  # there is nothing to do, so that it is done before it has begun
        self.drain(program)
        self.cluster.produce(self.records, 0, [record(f"a{n}", "ok", n) for n in range(3)])
        self.assertIsNone(self.order("dead-letter", "--offset", "1")["dlq_id"], "no program runs")
        code, _, error = self.once("lanes", "dead-letter", "--topic", self.records, "--partition", "0", "--offset", "2", "--reason", "x", "--yes",
                                   "--group", self.group, program="deja")
        self.assertEqual((code, "one such order at a time" in error), (75, True), error)
        program = self.start()
        self.await_done([self.records], program)
        self.drain(program)
        self.assertEqual((self.effects(), self.database.rows("select \"offset\" as at, cause from deja.dead_letters")), (2, [{"at": 1, "cause": "operator"}]))

    def test_R4_lanes_stand_still_until_resumed_over_restarts(self):
        self.send(100)
        program = self.start({"lanes.per.partition": 2})
        self.await_done([self.records], program)
        (paused,) = [self.deja("lanes", "pause", "--topic", self.records, "--partition", "0", "--lane", "1", "--reason", "a ticket", "--yes")]
        self.assertEqual((paused["lane"], paused["pause_reason"]), (1, "a ticket"))
        self.await_log(program, "lane is fenced")
        self.send(400)
        for log in ("again", "and-again"):
            wait_until(lambda: self.shows_the_pause() and self.all_but_one_at_the_end(), 60, "the pause, and all other lanes at the end", program)
            held = self.positions()[0, 1]
            self.assertEqual(program.terminate(), 0, program.log_end())
            self.assertEqual(self.positions()[0, 1], held, "a drain does not work a paused lane")
            program = self.start({"lanes.per.partition": 2}, log=log)
        wait_until(self.shows_the_pause, 60, "the pause in /status", program)
        self.deja("lanes", "resume", "--topic", self.records, "--partition", "0", "--lane", "1", "--reason", "done", "--yes")
        outcomes, _, _ = self.finish(program)
        self.assertEqual(outcomes, {"processed": 500})

    def shows_the_pause(self):
        try:
            return any(lane["paused_cause"] == "paused by an operator: a ticket" for lane in json.loads(http_get(self.port, "/status"))["lanes"])
        except OSError:
            return False

    def positions(self):
        return {(row["partition"], row["lane"]): row["next_offset"]
                for row in self.database.rows(f"select partition, lane, next_offset from deja.lanes where group_id = '{self.group}'")}

    def all_but_one_at_the_end(self):
        ends = self.cluster.end_offsets(self.records)
        return all(at == ends[partition] for (partition, lane), at in self.positions().items() if (partition, lane) != (0, 1))


if __name__ == "__main__":
    main()
