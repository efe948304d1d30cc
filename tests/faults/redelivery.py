"""D1, D3, D4: records that fail are parked and tried again, in the order of their ordering keys, while everything else moves on."""

from fault_sandbox import FaultTest, main, record


class WhenAHandlerFails(FaultTest):
    def test_D1_a_record_that_always_fails_holds_up_its_key_alone(self):
        log = [record("bad", "throw", 0, b"a"), record("b1", "ok", 1, b"b"), record("a2", "ok", 2, b"a"), record("b3", "ok", 3, b"b"), record("a4", "ok", 4, b"a")]
        self.cluster.produce(self.records, 0, log)
        program = self.start({"retry.max.attempts": 4, "retry.backoff.base.ms": 20, "retry.backoff.max.ms": 100})
        self.await_done([self.records], program)
        metrics = self.scrape()
        self.drain(program)
        rows = self.database.rows("select id from probe_effects order by at, id")
        self.assertEqual([r["id"] for r in rows if r["id"][0] == "a"], ["a2", "a4"])
        (letter,) = self.database.rows("select cause, attempts from deja.dead_letters")
        self.assertEqual((letter["cause"], letter["attempts"]), ("exhausted", 4))
        self.assertEqual(metrics.sum("deja_redeliveries_total"), 3, "those behind it run for the first time")

    def test_D4_a_record_that_heals_on_its_last_attempt_takes_effect_once(self):
        self.cluster.produce(self.records, 0, [record(f"r{n}", "throw:3" if n % 3 == 0 else "ok", n, b"k%d" % (n % 7)) for n in range(60)])
        program = self.start({"retry.max.attempts": 4, "retry.backoff.base.ms": 20, "retry.backoff.max.ms": 100})
        self.await_done([self.records], program)
        self.drain(program)
        rows = self.database.rows("select record_key, seq from probe_effects order by at, seq")
        self.assertEqual(len(rows), 60)
        for key in {r["record_key"] for r in rows}:
            mine = [r["seq"] for r in rows if r["record_key"] == key]
            self.assertEqual(mine, sorted(mine))
        self.assertEqual(self.letters(), 0)


if __name__ == "__main__":
    main()
