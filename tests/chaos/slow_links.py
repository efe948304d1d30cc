"""Links and servers that are slow, not dead: slow but right, and nobody loses the membership."""

import sandbox
from links import LinkTest
from payments_run import TOPIC, payments
from programs import wait_until


class WhenEverythingIsSlow(LinkTest):
    def test_F1_half_a_second_in_each_direction_is_slow_but_right(self):
        settings, postgres, kafka = self.proxied(more={"postgres.lost.ms": 10_000, "kafka.consumer.socket.timeout.ms": 20_000,
                                                       "kafka.producer.socket.timeout.ms": 20_000, "batch.max.records": 500})
        postgres.delay(500)
        kafka.delay(500)
        self.produce(TOPIC, payments(1_000, seed=61))
        program = self.start(settings)
        self.await_done([TOPIC], program, seconds=300)
        self.assertEqual(self.metric(settings, "deja_commits_in_doubt_total"), 0)
        postgres.heal()
        kafka.heal()
        self.drain(program)
        self.check()

    def test_C5_slow_statements_and_commits_mean_back_pressure_and_no_eviction(self):
        settings, postgres, _ = self.proxied(more={"postgres.lost.ms": 10_000, "batch.max.records": 100,
                                                   "kafka.consumer.max.poll.interval.ms": 10_000})
        program = self.start(settings)
        self.await_lanes(settings, 4, program)
        postgres.delay_statements(2_000)
        postgres.delay_commits(1_000)
        mark, fenced = postgres.mark(), self.metric(settings, "deja_fenced_total")
        self.produce(TOPIC, payments(1_000, seed=62))
        # Longer than the session and the poll interval: whoever waited for the database inside its polls would be out by now.
        postgres.await_event("statement", after=mark, count=30, seconds=240)
        self.assertEqual(self.metric(settings, "deja_rebalances_total", topic=TOPIC), 4, "the four lanes were assigned once")
        wait_until(lambda: self.effects() > 0, 240, "some effects although all is slow", program)
        postgres.heal()
        self.await_done([TOPIC], program)
        self.assertEqual(self.metric(settings, "deja_rebalances_total", topic=TOPIC), 4)
        self.assertEqual(self.metric(settings, "deja_fenced_total"), fenced)
        self.assertEqual(self.metric(settings, "deja_commits_in_doubt_total"), 0)
        self.drain(program)
        self.check()


if __name__ == "__main__":
    sandbox.main()
