"""R6: however many records fail, the fleet redelivers no more than its budget, and in the end everything takes effect."""

import time

from fault_sandbox import LONG, FaultTest, free_port, longer, main, scrape

FLOOR, WINDOW, RATIO = 10, 10, 0.1  # a second, seconds, of first deliveries
IN_ONE_DRAIN = 64


class WhenManyRecordsFail(FaultTest):
    partitions = 6

    @longer
    def test_R6_three_processes_share_one_budget(self):
        count = 6000 if LONG else 500
        self.send(count, do=lambda n: "throw:2" if n % 10 < 3 else "ok", keys=count)
        ports = [self.port, free_port(), free_port()]
        programs = [self.start({"retry.budget.ratio": RATIO, "retry.backoff.base.ms": 1, "retry.backoff.max.ms": 5}, name=f"member-{i}", port=port if i else None) for i, port in enumerate(ports)]
        samples = []

        def done():
            everything = self.effects() == count  # asked first: what is counted is counted after its commit
            metrics = [scrape(port) for port in ports]
            samples.append((time.monotonic(), sum(m.sum("deja_redeliveries_total") for m in metrics), sum(m.sum("deja_retry_amplification_ratio") for m in metrics)))
            return everything and samples[-1][1] >= 2 * 0.3 * count
        for port, program in zip(ports, programs):
            self.await_ready(port, program)
        deadline = time.monotonic() + 1200
        while not done():
            self.assertLess(time.monotonic(), deadline, "everything takes effect in the end")
            for program in programs:
                self.assertTrue(program.alive(), program.log_end())
            time.sleep(0.2)  # a sample, not a wait
        self.assertEqual(samples[-1][1], 2 * 0.3 * count, "each that failed twice was redelivered twice")
        for at, (begun, before, _) in enumerate(samples):
            for ended, after, _ in samples[at:]:
                if ended - begun > WINDOW - 1:
                    break
                # a process may take tokens and use them a moment later
                self.assertLessEqual(after - before, FLOOR * WINDOW + RATIO * count + len(ports) * IN_ONE_DRAIN)
        spent = self.database.rows("select second, first_deliveries, redeliveries from deja.retry_budget order by 1")
        for row in spent:
            def within(seconds, column):
                return sum(r[column] for r in spent if row["second"] - seconds < r["second"] <= row["second"])
            # asked in one second, it may be written in the next
            self.assertLessEqual(within(WINDOW, "redeliveries"), RATIO * within(WINDOW + 1, "first_deliveries") + FLOOR * WINDOW, "in a window of ten seconds")
        self.assertGreater(max(amplification for _, _, amplification in samples), 1)
        for program in programs:
            self.drain(program)
        print(f"R6: {count} records, {samples[-1][1]:.0f} redeliveries in {samples[-1][0] - samples[0][0]:.0f} s")


if __name__ == "__main__":
    main()
