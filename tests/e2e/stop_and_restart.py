"""SIGTERM in the middle of work drains and ends with 0; what comes after goes on as if nothing had been."""

import signal
import time

import progress
import sandbox
from payments_run import TOPIC, Feeder, PaymentsTest, payments
from programs import wait_until


class WhenTheConsumerIsStopped(PaymentsTest):
    def passed(self):
        return sum(lane["next_offset"] for lane in progress.lanes(self.database, self.group).values())

    def test_it_drains_and_its_successor_neither_loses_nor_doubles_anything(self):
        feeder = Feeder(self, TOPIC, payments(6_000, seed=21), per_second=1500)
        for number in range(4):
            program = self.start(self.payment_settings(), log=f"payments-{number}")
            before = self.passed()
            wait_until(lambda: self.passed() > before or not feeder.is_alive(), 60, "some progress", program, every=0.01)
            self.await_ready(self.port, program)
            begun = time.monotonic()
            self.assertEqual(program.terminate(), 0, program.log_end())
            self.assertLess(time.monotonic() - begun, 20, "a drain of a fast handler is quick")
            self.assertEqual(progress.unpublished(self.database, self.group), 0, "a drained program leaves no event unpublished")
        feeder.join()
        program = self.start(self.payment_settings())
        self.await_done([TOPIC], program)
        self.drain(program)
        _, _, _, dead, repeats = self.check()
        self.assertEqual(repeats, 0, "a clean stop gives no reason to publish an event twice")
        self.assertFalse([row for row in dead if row["cause"] not in ("rejected", "key_missing", "conflict")])

    def test_sigint_drains_too(self):
        self.produce(TOPIC, payments(500, seed=22))
        program = self.start(self.payment_settings())
        self.await_done([TOPIC], program)
        program.signal(signal.SIGINT)
        self.assertEqual(program.process.wait(60), 0, program.log_end())
        self.check()

    def test_an_idle_program_stops_at_once(self):
        program = self.start(self.payment_settings())
        self.await_ready(self.port, program)
        self.assertEqual(program.terminate(15), 0, program.log_end())

    def test_a_stop_in_the_middle_of_the_start_is_heeded(self):
        for milliseconds in range(0, 120, 4):
            program = self.start(self.payment_settings())
            time.sleep(milliseconds / 1000)  # not to await something: each time the signal comes at another step of the start
            # Before main() has begun nobody can answer a signal.
            self.assertIn(program.terminate(20), (0, -signal.SIGTERM), f"after {milliseconds} ms\n{program.log_end()}")


if __name__ == "__main__":
    sandbox.main()
