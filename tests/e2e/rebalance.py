"""Two processes share a group while payments keep coming, and one of them leaves and comes back: effects exact."""

import sandbox
from payments_run import TOPIC, Feeder, PaymentsTest, payments
from programs import free_port, scrape, wait_until


class WhenMembersJoinAndLeave(PaymentsTest):
    def owned(self, port):
        try:
            return scrape(port).sum("deja_lanes_owned", topic=TOPIC)
        except OSError:
            return 0

    def share(self, strategy):
        # A member that is killed, not stopped, is missed when its session ends.
        settings = self.payment_settings({"kafka.consumer.partition.assignment.strategy": strategy,
                                          "kafka.consumer.session.timeout.ms": 6000, "kafka.consumer.heartbeat.interval.ms": 500})
        second_port = free_port()
        second_settings = settings | {"http.address": f"127.0.0.1:{second_port}"}
        feeder = Feeder(self, TOPIC, payments(20_000, seed=31), per_second=1000)
        first = self.start(settings, name="first")
        wait_until(lambda: self.owned(self.port) == 4, 60, "the first member to own all lanes", first)
        for number in range(2):
            second = self.start(second_settings, name=f"second-{number}")
            wait_until(lambda: self.owned(self.port) == 2 and self.owned(second_port) == 2, 60, "two lanes each", first, second)
            if number == 0:
                self.drain(second)
            else:
                second.kill()
            wait_until(lambda: self.owned(self.port) == 4, 60, "the first member to own all lanes again", first)
        third = self.start(second_settings, name="third")
        wait_until(lambda: self.owned(second_port) == 2, 60, "two lanes each once more", first, third)
        feeder.hurry.set()
        feeder.join()
        self.await_done([TOPIC], first, third)
        self.drain(third)
        self.drain(first)
        self.check()

    def test_effects_are_exact_with_range(self):
        self.share("range")

    def test_effects_are_exact_with_cooperative_sticky(self):
        self.share("cooperative-sticky")


if __name__ == "__main__":
    sandbox.main()
