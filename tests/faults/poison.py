"""D11, D13: the same keys again and again, and clocks that lie. D6 and D10 are in tests/e2e/probe_records.py."""

from fault_sandbox import LONG, FaultTest, cpu_seconds, longer, main, record


class WhenTheSameKeysComeAgainAndAgain(FaultTest):
    @longer
    def test_D11_redeliveries_of_a_hundred_keys_write_nothing_and_cost_little(self):
        rounds = 2000 if LONG else 60
        batch = [record(f"r{n}", "ok", n, b"k%d" % (n % 20)) for n in range(100)] * 5
        for partition in (0, 1):
            self.cluster.produce(self.records, partition, batch)
        program = self.start()
        self.await_done([self.records], program)
        self.drain(program)  # its sessions tell what they counted when they end
        program = self.start(log="again")
        self.await_ready(self.port, program)
        before, cpu, commits = self.written(), cpu_seconds(program), scrape_batches(self)
        for _ in range(rounds):
            for partition in (0, 1):
                self.cluster.produce(self.records, partition, batch)
        self.await_done([self.records], program, seconds=600)
        count = rounds * 2 * len(batch)
        self.await_metric("deja_records_total", count, program, disposition="duplicate")  # counted when the reply of the commit is there
        metrics = self.scrape()
        spent, batches = cpu_seconds(program) - cpu, scrape_batches(self) - commits
        self.drain(program)
        after = self.written()
        self.assertEqual(metrics.sum("deja_records_total", disposition="duplicate"), count)
        self.assertEqual(after["keys_1"], before["keys_1"], "no key is written, nor deleted, for a duplicate")
        self.assertEqual(after["probe_effects"], before["probe_effects"])
        self.assertEqual(after.get("dead_letters"), before.get("dead_letters"))
        # The lane's row twice in a batch; and once a second for marks and take-overs at most.
        self.assertLess(after["lanes"] - before["lanes"], 2 * batches + 200)
        self.assertLess(spent, 2 + count * 100e-6, "seconds of processor")
        self.assertEqual(self.effects(), 100)
        print(f"D11: {count} duplicates in {batches:.0f} batches, {spent / count * 1e6:.1f} us of processor each")

    def written(self):
        rows = self.database.rows("select relname, n_tup_ins + n_tup_upd + n_tup_del as rows from pg_stat_user_tables")
        return {row["relname"]: row["rows"] for row in rows}


def scrape_batches(test):
    return test.scrape().sum("deja_batch_records_count")


class WhenTimestampsLie(FaultTest):
    YEAR_2100 = 4_102_444_800_000

    def test_D13_records_of_1970_and_2100_are_as_any_other(self):
        topic = self.topic("of-all-times", 1, retention_ms=-1, message_timestamp_after_max_ms=2**63 - 1,
                           message_timestamp_before_max_ms=2**63 - 1)
        times = [0, 1, self.YEAR_2100, None, 1, self.YEAR_2100, 0]
        for number, when in enumerate(times):
            fresh = [record(f"r{number}-{n}", "ok", number, b"k") for n in range(20)]
            twins = [record(f"r{number - 1}-{n}", "ok", number - 1, b"k") for n in range(20)] if number else []
            self.cluster.produce(topic, 0, fresh + twins, timestamp=when)
        program = self.start(topics=[topic])
        self.await_done([topic], program)
        metrics = self.scrape()
        self.drain(program)
        outcomes, _, _ = self.check(topic)
        self.assertEqual(outcomes, {"processed": 20 * len(times), "duplicate": 20 * (len(times) - 1)})
        self.assertEqual(metrics.sum("deja_records_total", disposition="expired"), 0)
        for name, _, value in metrics.samples:
            if name.startswith("deja_"):
                self.assertEqual(value, value, f"{name} is not a number")
                self.assertGreaterEqual(value, -1, name)
        # Again after a restart: the row of the lane holds such a timestamp.
        self.cluster.produce(topic, 0, [record("last")], timestamp=0)
        program = self.start(topics=[topic], log="again")
        self.await_done([topic], program)
        self.drain(program)
        self.check(topic)


if __name__ == "__main__":
    main()
